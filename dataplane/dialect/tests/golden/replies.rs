//! What a caller gets of every kind of reply.

use llm_dialect::{frame::Framing, reply::Usage, surface::Api};

use super::{
    cases::{Feature, Named, PROVIDERS, absent, context},
    stream::{assert_frames, relayed, through, translated},
    text::pretty,
};

pub fn shown(caller: Named, feature: &Feature) -> String {
    if let Some(other) = feature.reply {
        return format!("# Replies\n\nAs in `{other}`.\n");
    }
    PROVIDERS.iter().map(|provider| of_provider(caller, *provider, feature.name)).collect()
}

fn of_provider(caller: Named, provider: Named, feature: &str) -> String {
    let mut out = format!("# From {}\n\n", provider.name);
    let (Some(whole), Some(stream)) =
        (provider.reply(&format!("{feature}.json")), provider.reply(&format!("{feature}.stream")))
    else {
        let reason = &absent()[&format!("replies {} {feature}", provider.name)];
        return format!("{out}No such reply: {reason}.\n\n");
    };
    let reply =
        provider.provider().read_reply(&whole).unwrap_or_else(|garbled| panic!("{feature}: {garbled}"));
    let written = caller.caller().write_reply(&reply, &context());
    if caller.api == provider.api {
        out.push_str("The provider's bytes; the same written anew would be:\n\n");
        assert_eq!(provider.api.usage_of_reply(&whole).unwrap(), reply.usage, "{feature}");
    }
    out.push_str(&pretty(&written));
    out.push_str(&format!("\nUsage: {}\n\n", usage(reply.usage)));
    out.push_str(&streamed(caller, provider, feature, &stream));
    out
}

fn streamed(caller: Named, provider: Named, name: &str, stream: &[u8]) -> String {
    let (from, to) = (provider.streams(), caller.streams());
    let mut out = String::from("In pieces:\n\n");
    if from == to {
        out = "In pieces, the provider's bytes; written anew:\n\n".to_owned();
        let passed = relayed(through(from, to, false), to, std::iter::once(stream));
        assert!(passed.bytes.as_bytes().starts_with(stream), "bytes pass as they are");
    }
    let relayed_to = |to: Api| relayed(translated(from, to), to, std::iter::once(stream));
    let relayed = relayed_to(to);
    assert_ne!(relayed.broken.is_some(), relayed.ended, "{name} of {} to {}", provider.name, caller.name);
    assert_frames(caller.caller().framing(), &relayed.bytes);
    out.push_str(&format!("{}\nUsage: {}\n\n", relayed.bytes, usage(relayed.usage)));
    if to == Api::StreamGenerateContent {
        let array = relayed_to(Api::StreamGenerateArray).bytes;
        assert_frames(Framing::Array, &array);
        out.push_str(&format!("As one array:\n\n{array}\n"));
    }
    out
}

/// Streams that say in the middle that the provider has failed.
pub fn broken(caller: Named) -> String {
    PROVIDERS
        .iter()
        .map(|provider| {
            let stream = provider.reply("error.stream").unwrap();
            format!("# From {}\n\n{}", provider.name, streamed(caller, *provider, "error", &stream))
        })
        .collect()
}

fn usage(usage: Option<Usage>) -> String {
    usage.map_or("not said".to_owned(), |usage| {
        let Usage { input, cached_input, cache_write, output, reasoning } = usage;
        format!(
            "{input} in ({cached_input} cached, {cache_write} written to the cache), {output} out ({reasoning} thinking)"
        )
    })
}
