//! What the operator grants: the words of flags and of the configuration, resolved and checked.
//! Never looks at a policy.

use anyhow::{Context, bail};
use oriel_protocol::{Bounds, EventKind, EventSet, Ranges, Reach, Right};

use crate::config::{BoundsConfig, GrantConfig, GrantTable, RangeConfig, WordsConfig};

/// What the operator grants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GrantPlan {
    pub(crate) rights: Vec<Right>,
    /// None: all that the policy listens to.
    pub(crate) events: Option<EventSet>,
    /// What narrows it.
    pub(crate) bounds: Bounds,
}

impl GrantPlan {
    /// A grant of the configuration.
    pub(crate) fn configured(grant: &GrantConfig) -> anyhow::Result<Self> {
        match grant {
            GrantConfig::Words(words) => Self::of(&listed(words)),
            GrantConfig::Table(table) => Self::of_table(table),
        }
    }

    /// Rights and kinds of event. A list without a kind grants all that the policy listens to.
    fn of(words: &[String]) -> anyhow::Result<Self> {
        if words == ["all"] {
            return Ok(Self {
                rights: Right::ALL.to_vec(),
                ..Self::default()
            });
        }
        let (mut rights, mut events) = (vec![Right::Log], EventSet::NONE);
        for word in words {
            match (Right::by_name(word), EventKind::by_name(word)) {
                (Some(right), _) => rights.push(right),
                (None, Some(kind)) => events.insert(kind),
                (None, None) => bail!(
                    "{word:?} is neither a right ({}) nor a kind of event ({})",
                    right_names(),
                    event_names()
                ),
            }
        }
        Ok(Self {
            rights,
            events: (!events.is_empty()).then_some(events),
            ..Self::default()
        })
    }

    /// Each key by itself: what a table does not say is as without a grant.
    fn of_table(table: &GrantTable) -> anyhow::Result<Self> {
        let rights = table.rights.as_ref().map(rights).transpose();
        let events = table.events.as_ref().map(events).transpose();
        Ok(Self {
            rights: rights?.unwrap_or_else(|| Right::DEFAULT.to_vec()),
            events: events?.flatten(),
            bounds: bounds(&table.bounds())?,
        })
    }
}

fn rights(words: &WordsConfig) -> anyhow::Result<Vec<Right>> {
    let words = listed(words);
    if words == ["all"] {
        return Ok(Right::ALL.to_vec());
    }
    let right = |word: &String| {
        Right::by_name(word).with_context(|| format!("{word:?} is no right ({})", right_names()))
    };
    let named = words.iter().map(right);
    std::iter::once(Ok(Right::Log)).chain(named).collect()
}

fn events(words: &WordsConfig) -> anyhow::Result<Option<EventSet>> {
    let words = listed(words);
    if words == ["all"] {
        return Ok(None);
    }
    let kind = |word: &String| {
        EventKind::by_name(word)
            .with_context(|| format!("{word:?} is no kind of event ({})", event_names()))
    };
    words
        .iter()
        .map(kind)
        .collect::<anyhow::Result<_>>()
        .map(Some)
}

/// What narrows a grant.
pub(crate) fn bounds(config: &BoundsConfig) -> anyhow::Result<Bounds> {
    let read = reach(
        ("read-physical", &config.read_physical),
        ("read-virtual", &config.read_virtual),
    );
    let write = reach(
        ("write-physical", &config.write_physical),
        ("write-virtual", &config.write_virtual),
    );
    let msrs = ranges(("msrs", &config.msrs))?;
    if let Some(last) = msrs.as_ref().and_then(Ranges::last)
        && last > u32::MAX.into()
    {
        bail!("msrs: {last:#x} is no MSR, whose numbers have 32 bits");
    }
    Ok(Bounds {
        msrs,
        read: read?,
        write: write?,
    })
}

type Key<'a> = (&'a str, &'a Option<Vec<RangeConfig>>);

/// The memory that is within reach in one direction; none: nothing is said of it.
fn reach(physical: Key<'_>, linear: Key<'_>) -> anyhow::Result<Option<Reach>> {
    Ok(match (ranges(physical)?, ranges(linear)?) {
        (None, None) => None,
        (physical, linear) => Some(Reach {
            physical: physical.unwrap_or_default(),
            linear: linear.unwrap_or_default(),
        }),
    })
}

fn ranges((key, list): Key<'_>) -> anyhow::Result<Option<Ranges<u64>>> {
    let word = |range: &RangeConfig| match range {
        RangeConfig::Number(number) => number.to_string(),
        RangeConfig::Word(word) => word.clone(),
    };
    let Some(list) = list else { return Ok(None) };
    let words: Vec<_> = list.iter().map(word).collect();
    let read = Ranges::read(words.iter().map(String::as_str));
    read.map(Some).with_context(|| key.to_owned())
}

/// The words of a list.
pub(crate) fn listed(words: &WordsConfig) -> Vec<String> {
    match words {
        WordsConfig::Word(list) => split(list),
        WordsConfig::List(words) => words.clone(),
    }
}

/// Words with commas between them.
pub(crate) fn split(list: &str) -> Vec<String> {
    let words = list.split(',').map(str::trim);
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn right_names() -> String {
    let names: Vec<_> = Right::ALL.iter().map(|right| right.name()).collect();
    names.join(", ")
}

fn event_names() -> String {
    let names: Vec<_> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct File {
        grant: GrantConfig,
    }

    fn grant(text: &str) -> anyhow::Result<GrantPlan> {
        let file: File = toml::from_str(text)?;
        GrantPlan::configured(&file.grant)
    }

    #[test]
    fn a_table_says_rights_events_and_what_narrows_them() {
        let plan = grant(
            r#"
            [grant]
            rights = ["memory-read"]
            events = ["msr"]
            msrs = ["0xc0000080", "0xc0000100-0xc0000102", 0x10]
            read-physical = ["0x1000-0x1fff"]
            write-virtual = ["4096-8191"]
            "#,
        )
        .unwrap();
        assert_eq!(plan.rights, [Right::Log, Right::MemoryRead]);
        assert_eq!(plan.events, Some([EventKind::Msr].into_iter().collect()));
        let Bounds { msrs, read, write } = plan.bounds;
        let words = |ranges: &Ranges<u64>| ranges.words().collect::<Vec<_>>();
        assert_eq!(
            words(&msrs.unwrap()),
            ["0x10", "0xc0000080", "0xc0000100-0xc0000102"]
        );
        let (read, write) = (read.unwrap(), write.unwrap());
        assert_eq!(words(&read.physical), ["0x1000-0x1fff"]);
        assert!(read.linear.is_empty() && write.physical.is_empty());
        assert_eq!(words(&write.linear), ["0x1000-0x1fff"]);
    }

    #[test]
    fn a_table_that_is_silent_is_the_default() {
        let plan = grant("[grant]\nmsrs = []").unwrap();
        assert_eq!(plan.rights, Right::DEFAULT);
        assert_eq!((plan.events, plan.bounds.msrs), (None, Some(Ranges::NONE)));
        let all = grant("[grant]\nrights = \"all\"\nevents = \"all\"").unwrap();
        assert_eq!((all.rights.len(), all.events), (Right::ALL.len(), None));
        assert!(all.bounds.is_open());
    }

    #[test]
    fn the_short_forms_stay() {
        assert_eq!(
            grant("grant = \"all\"").unwrap(),
            GrantPlan::configured(&GrantConfig::typed("all")).unwrap()
        );
        assert_eq!(
            grant("grant = [\"msr\", \"alert\"]").unwrap(),
            GrantPlan::configured(&GrantConfig::typed("msr, alert")).unwrap()
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("[grant]\nright = []", "right"),
            ("[grant]\nrights = [\"msr\"]", "msr"),
            ("[grant]\nevents = [\"alert\"]", "alert"),
            ("[grant]\nmsrs = [\"lstar\"]", "lstar"),
            ("[grant]\nmsrs = [\"0x100000000\"]", "32 bits"),
            ("[grant]\nread-physical = [\"9-1\"]", "read-physical"),
            ("[grant]\nread-physical = \"all\"", "read-physical"),
            ("grant = 7", "a grant is"),
            ("grant = [\"fly\"]", "fly"),
        ] {
            let error = format!("{:#}", grant(text).unwrap_err());
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
