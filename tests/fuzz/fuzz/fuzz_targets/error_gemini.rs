#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| llm_fuzz::run("error_gemini", data));
