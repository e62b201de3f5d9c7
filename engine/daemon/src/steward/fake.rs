//! Policies that judge nothing, for tests of who gives orders: they remember what they were told,
//! and refuse what they are told to refuse.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use oriel_engine::{
    FailureReport,
    audit::{Orderer, Verb},
    roster::{OnChange, Past, Posted, RosterError, Standing, SwapOptions, Swapped},
};
use oriel_guest::Unknown;
use oriel_policy::Digest;
use serde_json::Value as Json;

use super::{ChangeError, Policies};
use crate::{
    linux::{self, Question},
    plan::PolicyPlan,
};

/// Code that these policies are not made of.
pub(crate) const BROKEN: &[u8] = b"broken";

/// Policies that judge nothing.
#[derive(Default)]
pub(crate) struct Fake {
    told: Mutex<Option<OnChange>>,
    names: Mutex<Vec<String>>,
    past: Mutex<BTreeMap<String, Vec<Past>>>,
    /// What the next change is refused with.
    pub(crate) refuse: Mutex<Option<RosterError>>,
    /// Who has ordered what of which policy.
    pub(crate) orders: Arc<Mutex<Vec<(Orderer, Verb, String)>>>,
    /// What was swapped how.
    pub(crate) swaps: Mutex<Vec<SwapOptions>>,
}

impl Fake {
    /// With these policies from the start.
    pub(crate) fn with(names: &[(&str, &[u8])]) -> Self {
        let fake = Self::default();
        for (name, code) in names {
            fake.post(name, code);
        }
        fake
    }

    fn post(&self, name: &str, code: &[u8]) -> u64 {
        let mut past = lock(&self.past);
        let revisions = past.entry(name.to_owned()).or_default();
        for one in &mut *revisions {
            one.standing = Standing::Past;
        }
        let revision = revisions.len() as u64 + 1;
        revisions.push(Past {
            revision,
            digest: Digest::of(code),
            version: "1.0.0".to_owned(),
            standing: Standing::InForce,
            since_ns: 7,
            saved_bytes: 0,
            detail: String::new(),
        });
        if revision == 1 {
            lock(&self.names).push(name.to_owned());
        }
        revision
    }

    fn note(&self, by: &Orderer, verb: Verb, name: &str) {
        lock(&self.orders).push((by.clone(), verb, name.to_owned()));
    }

    fn tell(&self) {
        let posted = self.list();
        let told = lock(&self.told).clone();
        told.inspect(|told| told(&posted));
    }

    fn ready(&self) -> Result<(), RosterError> {
        lock(&self.refuse).take().map_or(Ok(()), Err)
    }

    fn known(&self, name: &str) -> Result<u64, RosterError> {
        let all = self.list();
        let named = all.iter().find(|one| one.name == name);
        named
            .map(|one| one.revision)
            .ok_or_else(|| RosterError::Unknown(name.to_owned()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test panics with it")
}

fn swapped(name: &str, from: u64, to: u64) -> Swapped {
    Swapped {
        name: name.to_owned(),
        from,
        to,
        fresh: Vec::new(),
        stall_ns: 1,
        shadow: None,
        canary: None,
    }
}

fn accept(code: &[u8]) -> Result<(), ChangeError> {
    if code == BROKEN {
        return Err(ChangeError::Refused(anyhow::anyhow!("this is broken")));
    }
    Ok(())
}

impl Policies for Fake {
    fn on_change(&self, told: OnChange) {
        *lock(&self.told) = Some(told);
    }

    fn list(&self) -> Vec<Posted> {
        let past = lock(&self.past);
        let posted = |name: &String| {
            let mut revisions = past[name].iter();
            let current = revisions.find(|one| one.standing == Standing::InForce)?;
            Some(Posted {
                detached: false,
                name: name.clone(),
                revision: current.revision,
                digest: current.digest,
                version: current.version.clone(),
                quarantined: false,
            })
        };
        lock(&self.names).iter().filter_map(posted).collect()
    }

    fn history(&self, name: &str) -> Result<Vec<Past>, RosterError> {
        self.known(name)?;
        Ok(lock(&self.past)[name].clone())
    }

    fn failures(&self, name: &str) -> Result<Vec<FailureReport>, RosterError> {
        self.known(name)?;
        Ok(Vec::new())
    }

    fn load(&self, by: &Orderer, plan: &PolicyPlan, code: &[u8]) -> Result<Posted, ChangeError> {
        self.note(by, Verb::Load, &plan.name);
        accept(code)?;
        self.ready()?;
        if self.known(&plan.name).is_ok() {
            return Err(RosterError::Taken(plan.name.clone()).into());
        }
        self.post(&plan.name, code);
        self.tell();
        let mut all = self.list().into_iter();
        Ok(all.find(|one| one.name == plan.name).expect("just posted"))
    }

    fn swap(
        &self,
        by: &Orderer,
        plan: &PolicyPlan,
        (code, how): (&[u8], &SwapOptions),
    ) -> Result<Swapped, ChangeError> {
        self.note(by, Verb::Swap, &plan.name);
        accept(code)?;
        self.ready()?;
        let from = self.known(&plan.name)?;
        lock(&self.swaps).push(how.clone());
        let to = self.post(&plan.name, code);
        self.tell();
        Ok(swapped(&plan.name, from, to))
    }

    fn unload(&self, by: &Orderer, name: &str) -> Result<(), RosterError> {
        self.note(by, Verb::Unload, name);
        self.ready()?;
        self.known(name)?;
        lock(&self.names).retain(|known| known != name);
        lock(&self.past).remove(name);
        self.tell();
        Ok(())
    }

    fn rollback(&self, by: &Orderer, name: &str, to: Option<u64>) -> Result<Swapped, RosterError> {
        self.note(by, Verb::Rollback, name);
        self.ready()?;
        let from = self.known(name)?;
        let to = to.unwrap_or(from - 1);
        if to == 0 {
            return Err(RosterError::NoEarlier(name.to_owned()));
        }
        for one in lock(&self.past).get_mut(name).into_iter().flatten() {
            one.standing = match one.revision {
                revision if revision == to => Standing::InForce,
                revision if revision == from => Standing::RolledBack,
                _ => Standing::Past,
            };
        }
        self.tell();
        Ok(swapped(name, from, to))
    }

    fn release(&self, by: &Orderer, name: &str) -> Result<(), RosterError> {
        self.note(by, Verb::Release, name);
        self.ready()?;
        self.known(name).map(drop)
    }

    fn ask_guest(&self, question: &Question) -> Result<Json, Unknown> {
        linux::tests::asked(&linux::tests::some(), question)
    }

    fn declined(&self, by: &Orderer, (verb, name): (Verb, &str), _: &str) {
        self.note(by, verb, name);
    }
}
