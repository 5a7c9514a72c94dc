//! What the estimate of a call costs, by the size of the call: under 20 µs for 4 KB, and hardly more
//! for a body of megabytes, because no more of a text is looked at than a bound.

use llm_dialect::chat::{Message, Part, Request, Role};
use llm_routing::complexity::estimate;

const KB: usize = 1024;
const SIZES: [usize; 5] = [KB, 4 * KB, 64 * KB, 1024 * KB, 10 * 1024 * KB];

const PROSE: &str = "Please review how the billing service retries a payment that was declined, and \
    explain whether the ledger can count it twice; the queue delivers at least once, and workers may \
    crash between both writes. ";
const CHINESE: &str = "请分析这个系统在高并发情况下可能出现的问题，并给出优化方案，说明每种方案的优缺点。";
const CODE: &str = "for (i = 0; i < n; i++) {\n    if (table[i].key == key) { return &table[i]; }\n}\n";

fn main() {
    divan::main();
}

/// One message of so many bytes, without a blank line: all that may be a task is read as one.
#[divan::bench(args = SIZES)]
fn prose(bencher: divan::Bencher<'_, '_>, size: usize) {
    measure(bencher, &talk(vec![message(Role::User, PROSE, size)]));
}

#[divan::bench(args = SIZES)]
fn chinese(bencher: divan::Bencher<'_, '_>, size: usize) {
    measure(bencher, &talk(vec![message(Role::User, CHINESE, size)]));
}

#[divan::bench(args = SIZES)]
fn code(bencher: divan::Bencher<'_, '_>, size: usize) {
    measure(bencher, &talk(vec![message(Role::User, CODE, size)]));
}

/// A system prompt and many turns of 1 KB, so many bytes together.
#[divan::bench(args = SIZES)]
fn turns(bencher: divan::Bencher<'_, '_>, size: usize) {
    let system = message(Role::System, PROSE, KB);
    let turns = (1..size / KB)
        .map(|turn| message(if turn % 2 == 0 { Role::Assistant } else { Role::User }, PROSE, KB));
    measure(bencher, &talk(std::iter::once(system).chain(turns).collect()));
}

fn measure(bencher: divan::Bencher<'_, '_>, request: &Request) {
    bencher.bench(|| estimate(divan::black_box(request)).score());
}

fn talk(messages: Vec<Message>) -> Request {
    Request { messages, ..Request::default() }
}

fn message(role: Role, text: &str, size: usize) -> Message {
    let mut text = text.repeat(size / text.len() + 1);
    text.truncate(text.floor_char_boundary(size));
    Message { role, parts: vec![Part::Text(text)] }
}
