//! What comes in the body of a request. What is said of a policy has the keys of `[[policy]]`, and
//! is read by the same code; keys that do not exist are refused.

use std::{path::PathBuf, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use oriel_engine::roster::{Canary, OnRefusal, Probation, Shadow, Share, SwapOptions};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value as Json};

use super::Problem;
use crate::{
    config::PolicyConfig,
    linux::Question,
    steward::{Entry, read_component},
};

/// What a component is called that came without a file's name.
const SENT: &str = "(sent)";

/// The keys of a request about a policy.
pub(super) struct Order(Map<String, Json>);

/// `POST …/rollback`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rollback {
    /// The revision; none: the one before the current.
    pub(super) to: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShadowOrder {
    seconds: f64,
    #[serde(default)]
    disagreements: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CanaryOrder {
    vcpus: Option<Vec<u32>>,
    one_in: Option<u32>,
    seconds: f64,
}

impl CanaryOrder {
    fn share(&mut self) -> Result<Share, Problem> {
        match (self.vcpus.take(), self.one_in) {
            (Some(vcpus), None) => Ok(Share::Vcpus(vcpus)),
            (None, Some(many)) => Ok(Share::OneIn(many)),
            (Some(_), Some(_)) | (None, None) => {
                Err(wrong("`canary`: either its `vcpus`, or `one-in` so many"))
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProbationOrder {
    seconds: f64,
    #[serde(default)]
    failures: u32,
}

fn wrong(error: impl std::fmt::Display) -> Problem {
    Problem::new(422, "not-understood", format!("the body: {error}"))
        .next("`GET /v1/openapi.json` says what it may hold")
}

/// A body, or what it is when there is none.
pub(super) fn read_or_default<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, Problem> {
    if body.is_empty() {
        return Ok(T::default());
    }
    read(body)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| Problem::new(400, "not-json", format!("the body: {error}")))
}

/// `POST /v1/guest`
pub(super) fn question(body: &[u8]) -> Result<Question, Problem> {
    let body: Json = read(body)?;
    serde_json::from_value(body).map_err(wrong)
}

impl Order {
    pub(super) fn read(body: &[u8]) -> Result<Self, Problem> {
        read_or_default(body).map(Self)
    }

    /// A policy to be loaded.
    pub(super) fn load(mut self) -> Result<Entry, Problem> {
        let code = self.code()?;
        let code = code.ok_or_else(|| wrong("it names no `file` and holds no `component`"))?;
        self.0.entry("file").or_insert_with(|| SENT.into());
        let said = said(self.0)?;
        if said.name.is_none() && said.file.as_os_str() == SENT {
            return Err(wrong("a component that is sent needs a `name`"));
        }
        Ok(Entry { said, code })
    }

    /// A revision of this policy. What is not said of it stays as it is.
    pub(super) fn swap(
        mut self,
        name: &str,
        current: Option<Entry>,
    ) -> Result<(Entry, SwapOptions), Problem> {
        let how = self.how()?;
        let code = self.code()?;
        let mut keys = current
            .as_ref()
            .map_or_else(Map::new, |entry| keys(&entry.said));
        if code.is_some() {
            keys.insert("file".to_owned(), SENT.into());
        }
        keys.extend(self.0);
        let said = said(keys)?;
        if said.name.as_deref() != Some(name) {
            return Err(wrong("a policy keeps its name: `name` is left out"));
        }
        let code = code.or_else(|| current.map(|entry| entry.code));
        let code = code.ok_or_else(|| wrong("it names no `file` and holds no `component`"))?;
        Ok((Entry { said, code }, how))
    }

    /// The component: what is sent, else what is in a file of this host.
    fn code(&mut self) -> Result<Option<std::sync::Arc<[u8]>>, Problem> {
        match (self.take::<String>("component")?, self.0.get("file")) {
            (Some(text), _) => {
                let code = BASE64_STANDARD.decode(text);
                let code = code.map_err(|error| wrong(format!("`component`: {error}")))?;
                Ok(Some(code.into()))
            }
            (None, Some(Json::String(file))) => read_file(file.into()).map(Some),
            (None, _) => Ok(None),
        }
    }

    fn how(&mut self) -> Result<SwapOptions, Problem> {
        Ok(SwapOptions {
            together: self.take("together")?.unwrap_or(false),
            state: self.take::<OnRefusal>("state")?.unwrap_or_default(),
            shadow: self.shadow()?,
            canary: self.canary()?,
            probation: self.probation()?,
        })
    }

    fn shadow(&mut self) -> Result<Option<Shadow>, Problem> {
        let shadow = self.take::<ShadowOrder>("shadow")?.map(|shadow| {
            Ok(Shadow {
                lasts: duration(shadow.seconds)?,
                disagreements: shadow.disagreements,
            })
        });
        shadow.transpose()
    }

    fn canary(&mut self) -> Result<Option<Canary>, Problem> {
        let canary = self.take::<CanaryOrder>("canary")?.map(|mut canary| {
            Ok(Canary {
                share: canary.share()?,
                lasts: duration(canary.seconds)?,
            })
        });
        canary.transpose()
    }

    fn probation(&mut self) -> Result<Option<Probation>, Problem> {
        let probation = self.take::<ProbationOrder>("probation")?.map(|probation| {
            Ok(Probation {
                lasts: duration(probation.seconds)?,
                failures: probation.failures,
            })
        });
        probation.transpose()
    }

    /// A key, which is gone then. `null` is as good as nothing.
    fn take<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>, Problem> {
        let Some(value) = self.0.remove(key) else {
            return Ok(None);
        };
        serde_json::from_value(value).map_err(|error| wrong(format!("`{key}`: {error}")))
    }
}

fn read_file(file: PathBuf) -> Result<std::sync::Arc<[u8]>, Problem> {
    if file.is_relative() {
        let shown = file.display();
        return Err(wrong(format!("`file`: {shown} does not begin at /"))
            .next("write the whole path, or send the `component`"));
    }
    read_component(&file).map_err(|error| wrong(format!("`file`: {error:#}")))
}

/// What the operator said, with the keys of `[[policy]]`.
fn said(keys: Map<String, Json>) -> Result<PolicyConfig, Problem> {
    serde_json::from_value(Json::Object(keys)).map_err(wrong)
}

fn keys(said: &PolicyConfig) -> Map<String, Json> {
    match serde_json::to_value(said) {
        Ok(Json::Object(keys)) => keys,
        Ok(_) | Err(_) => Map::new(),
    }
}

fn duration(seconds: f64) -> Result<Duration, Problem> {
    Duration::try_from_secs_f64(seconds).map_err(|error| wrong(format!("`seconds`: {error}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::GrantConfig;

    fn order(body: Json) -> Order {
        Order::read(body.to_string().as_bytes()).expect("an object")
    }

    fn current() -> Entry {
        let mut said = PolicyConfig::of(Some("guard".to_owned()), "/old.wasm".into());
        said.grant = Some(GrantConfig::typed("all"));
        Entry {
            said,
            code: b"old".as_slice().into(),
        }
    }

    #[test]
    fn a_component_is_sent_or_named() {
        let sent = order(json!({"name": "guard", "component": "b25l"}))
            .load()
            .unwrap();
        assert_eq!((&*sent.code, sent.name()), (b"one".as_slice(), "guard"));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "two").unwrap();
        let named = order(json!({"file": file.path()})).load().unwrap();
        assert_eq!(&*named.code, b"two");
    }

    #[test]
    fn what_is_not_said_in_a_swap_stays() {
        let (entry, how) = order(json!({"component": "b25l"}))
            .swap("guard", Some(current()))
            .unwrap();
        assert_eq!(entry.said.grant, Some(GrantConfig::typed("all")));
        assert_eq!(
            (&*entry.code, how),
            (b"one".as_slice(), SwapOptions::default())
        );
        let only_terms = json!({"grant": ["log"], "config": {"lock": true}, "together": true});
        let (entry, how) = order(only_terms).swap("guard", Some(current())).unwrap();
        assert_eq!(
            entry.said.grant,
            Some(GrantConfig::Words(crate::config::WordsConfig::List(vec![
                "log".to_owned()
            ])))
        );
        assert_eq!((&*entry.code, how.together), (b"old".as_slice(), true));
        assert_eq!(entry.said.file, PathBuf::from("/old.wasm"));
    }

    #[test]
    fn how_to_swap_is_read_with_its_times() {
        let body = json!({
            "component": "b25l", "state": "fresh",
            "shadow": {"seconds": 1.5, "disagreements": 2},
            "canary": {"vcpus": [1], "seconds": 2},
            "probation": {"seconds": 60},
        });
        let (_, how) = order(body).swap("guard", Some(current())).unwrap();
        assert_eq!(how.state, OnRefusal::Fresh);
        assert_eq!(how.shadow.unwrap().lasts, Duration::from_millis(1500));
        assert_eq!(how.canary.unwrap().share, Share::Vcpus(vec![1]));
        assert_eq!(how.probation.unwrap().failures, 0);
    }

    #[test]
    fn a_canary_is_some_vcpus_or_one_event_in_so_many() {
        let swap = |canary: Json| order(json!({"canary": canary})).swap("guard", Some(current()));
        let (_, how) = swap(json!({"one-in": 10, "seconds": 2})).unwrap();
        assert_eq!(how.canary.unwrap().share, Share::OneIn(10));
        for canary in [
            json!({"seconds": 2}),
            json!({"vcpus": [0], "one-in": 2, "seconds": 2}),
            json!({"one-in": -1, "seconds": 2}),
        ] {
            let problem = swap(canary).unwrap_err();
            assert!(problem.to_string().contains("canary"), "{problem}");
        }
    }

    #[test]
    fn limits_and_tables_of_a_grant_are_said_as_in_the_configuration_and_kept_as_said() {
        let body = json!({
            "name": "guard", "component": "b25l", "limits": {"event-ms": 3},
            "on-failure": {"default": "open"}, "allow-pause": true, "pause-limit": 1.5,
            "grant": {"rights": ["alert"], "msrs": ["0xc0000082", 1], "read-physical": ["0x1000000-0x2ffffff"]},
        });
        let said = order(body).load().unwrap().said;
        let kept = serde_json::to_string(&said).unwrap();
        assert_eq!(serde_json::from_str::<PolicyConfig>(&kept).unwrap(), said);
        let plan = crate::plan::PolicyPlan::configured(said).unwrap();
        assert_eq!(plan.conditions.limits.event, Duration::from_millis(3));
        assert!(plan.grant.unwrap().bounds.msrs.is_some());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let swaps = [
            (json!({"component": "!"}), "component"),
            (json!({"grants": "all"}), "grants"),
            (json!({"name": "other"}), "name"),
            (json!({"shadow": {"seconds": -1}}), "seconds"),
            (
                json!({"canary": {"vcpus": [0], "seconds": 1, "x": 1}}),
                "canary",
            ),
            (json!({"state": "maybe"}), "state"),
            (json!({"file": "relative.wasm"}), "relative.wasm"),
            (json!({"file": "/no/such.wasm"}), "/no/such.wasm"),
        ];
        for (body, words) in swaps {
            let problem = order(body).swap("guard", Some(current())).unwrap_err();
            assert!(problem.to_string().contains(words), "{problem}");
            assert_eq!(problem.status(), 422);
        }
        for body in [json!({"name": "x"}), json!({"component": "b25l"})] {
            assert_eq!(order(body).load().unwrap_err().status(), 422);
        }
        for body in ["", "{", "[]", "\u{0}"] {
            let status = Order::read(body.as_bytes()).err().map(|one| one.status());
            assert_eq!(status, (!body.is_empty()).then_some(400), "{body:?}");
        }
    }
}
