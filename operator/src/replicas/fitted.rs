//! Pure: a summary as text that fits into a ConfigMap.

use std::sync::Arc;

use crate::publish::attached::{Group, Summaries, Summary, TOLD};

/// A ConfigMap takes a MiB; what is beside the text is short.
const MOST_BYTES: usize = 1_000_000;

/// A summary that fits.
#[derive(Debug)]
pub struct Fitted {
    pub text: String,
    /// Proxies of which it does not say what they hold. The leader counts them as behind, and not as gone: for as long as the
    /// text is too long, which is by some 16,000 sections of all fleets together.
    pub unsaid: usize,
}

/// The text of the summaries. Who is not known to have said goodbye only keeps its part of limits for longer: so that goes
/// first. Proxies are in many states only while they follow a flood of changes: what the fewest
/// hold is left out next. Then it is the models that they leave alone.
///
/// # Errors
/// When it can't be written as JSON.
pub fn fitted(mut summaries: Summaries) -> serde_json::Result<Fitted> {
    let mut text = serde_json::to_string(&summaries)?;
    let mut unsaid = 0;
    if text.len() > MOST_BYTES && summaries.values().any(|summary| !summary.left.is_empty()) {
        summaries.values_mut().for_each(|summary| summary.left.clear());
        text = serde_json::to_string(&summaries)?;
    }
    if text.len() > MOST_BYTES {
        unsaid = leave_out(&mut summaries, text.len() - MOST_BYTES)?;
        text = serde_json::to_string(&summaries)?;
    }
    while text.len() > MOST_BYTES && summaries.values().any(|summary| !summary.open.is_empty()) {
        for summary in summaries.values_mut() {
            summary.open.truncate(summary.open.len() / 2);
        }
        text = serde_json::to_string(&summaries)?;
    }
    Ok(Fitted { text, unsaid })
}

/// Leaves out what is held until so many bytes are saved, and tells of how many proxies it is not said now.
fn leave_out(summaries: &mut Summaries, bytes: usize) -> serde_json::Result<usize> {
    let mut groups: Vec<(usize, &mut Group)> = Vec::new();
    for group in summaries.values_mut().flat_map(|summary| &mut summary.groups) {
        groups.push((serde_json::to_string(&group.holds)?.len(), group));
    }
    groups.sort_by_key(|(bytes, group)| (group.proxies, usize::MAX - bytes));
    let (mut saved, mut unsaid) = (0, 0);
    for (held, group) in groups {
        if saved >= bytes {
            break;
        }
        saved += held;
        unsaid += group.proxies;
        group.holds = Arc::default();
    }
    for summary in summaries.values_mut() {
        merge_unsaid(summary);
    }
    Ok(unsaid)
}

/// Makes one group of those of which it is not said what they hold.
fn merge_unsaid(summary: &mut Summary) {
    let (unsaid, mut groups): (Vec<Group>, Vec<Group>) =
        std::mem::take(&mut summary.groups).into_iter().partition(|group| group.holds.is_empty());
    groups.extend(unsaid.into_iter().reduce(|mut all, group| {
        all.proxies += group.proxies;
        all.names.extend(group.names);
        all.names.truncate(TOLD);
        all
    }));
    summary.groups = groups;
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use jiff::Timestamp;

    use super::*;
    use crate::{
        compile::fleet::Fleet,
        publish::{Digests, attached::OpenOn},
        shares::roster::Goodbye,
    };

    /// Proxies that hold two thousand routes and one of them in a revision of their own.
    fn group(proxies: usize, revision: usize) -> Group {
        let route =
            |number: usize| (format!("route/team-{}/route-{number}", number % 20), format!("{number:016x}"));
        let mut holds: Digests = (0..2000).map(route).collect();
        holds.insert("route/team-0/route-0".to_owned(), format!("{revision:016x}"));
        Group { proxies, names: vec![format!("proxy-{revision}")], holds: Arc::new(holds) }
    }

    fn read(fitted: &Fitted) -> Summaries {
        assert!(fitted.text.len() <= MOST_BYTES, "{} bytes", fitted.text.len());
        serde_json::from_str(&fitted.text).unwrap()
    }

    #[test]
    fn a_thousand_proxies_in_a_hundred_states_fit_and_all_are_counted() {
        let fleet = Fleet::gateway("default");
        let mut groups: Vec<Group> = (1..=100).map(|revision| group(1, revision)).collect();
        groups.push(group(900, 0));
        let summaries = Summaries::from([(fleet.clone(), Summary { groups, ..Summary::default() })]);
        assert!(serde_json::to_string(&summaries).unwrap().len() > 5 * MOST_BYTES);

        let fitted = fitted(summaries).unwrap();
        let groups = &read(&fitted)[&fleet].groups;
        assert_eq!(groups.iter().map(|group| group.proxies).sum::<usize>(), 1000);
        assert!(groups.iter().any(|told| *told.holds == *group(900, 0).holds), "what most hold is said");
        let unsaid: Vec<&Group> = groups.iter().filter(|group| group.holds.is_empty()).collect();
        assert_eq!((unsaid.len(), unsaid[0].proxies, unsaid[0].names.len()), (1, fitted.unsaid, TOLD));
        assert!(fitted.unsaid < 100, "and of as many as fit: {}", fitted.unsaid);
    }

    #[test]
    fn what_fits_is_told_as_it_is() {
        let summary = Summary { groups: vec![group(999, 0), group(1, 1)], ..Summary::default() };
        let summaries = Summaries::from([(Fleet::gateway("default"), summary)]);
        let fitted = fitted(summaries.clone()).unwrap();
        assert_eq!((read(&fitted), fitted.unsaid), (summaries, 0));
    }

    #[test]
    fn goodbyes_give_way_before_anything_else() {
        let goodbye = |number: usize| Goodbye {
            proxy: format!("gateway/default/proxy-{number:06}"),
            at: Timestamp::UNIX_EPOCH,
        };
        let here = Summary { groups: vec![group(1, 0)], members: vec!["a".to_owned()], ..Summary::default() };
        let crowd = Summary { left: (0..20_000).map(goodbye).collect(), ..here.clone() };
        let fitted = fitted([(Fleet::gateway("default"), crowd)].into()).unwrap();
        assert_eq!((read(&fitted), fitted.unsaid), ([(Fleet::gateway("default"), here)].into(), 0));
    }

    #[test]
    fn breakers_give_way_where_what_is_held_does_not_suffice() {
        let open = |number: usize| OpenOn {
            provider: format!("ai/pool/provider-{number}"),
            model: "m".repeat(200),
            proxies: 1,
            error: "e".repeat(200),
        };
        let summary = || Summary {
            groups: vec![group(1, 0)],
            open: (0..256).map(open).collect(),
            ..Summary::default()
        };
        let summaries: Summaries =
            (0..40).map(|number| (Fleet::gateway(&format!("g{number}")), summary())).collect();
        let fitted = fitted(summaries).unwrap();
        assert_eq!(fitted.unsaid, 40);
        assert!(read(&fitted).values().all(|summary| !summary.open.is_empty()));
    }
}
