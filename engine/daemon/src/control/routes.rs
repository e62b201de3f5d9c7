//! The paths there are: one row a method and path, in one table that requests and the OpenAPI
//! document are both held to.

use oriel_engine::audit::Orderer;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::{
    Problem,
    http::{Answer, decode},
    openapi,
    orders::{self, Order},
};
use crate::steward::{Orders, Steward};

/// One row: a method, a path whose `{name}` is a policy's name, and what is done.
pub(super) struct Route {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    run: fn(&Steward, &Call<'_>) -> Result<Answer, Problem>,
}

/// What came with a request.
struct Call<'a> {
    name: String,
    body: &'a [u8],
    by: Orderer,
}

/// A request, and who sent it.
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) body: &'a [u8],
    pub(super) by: Orderer,
}

/// Every method of every path.
pub(super) const ROUTES: &[Route] = &[
    route("GET", "/v1/vm", vm),
    route("GET", "/v1/policies", list),
    route("POST", "/v1/policies", load),
    route("GET", "/v1/policies/{name}", get),
    route("DELETE", "/v1/policies/{name}", unload),
    route("GET", "/v1/policies/{name}/history", history),
    route("GET", "/v1/policies/{name}/failures", failures),
    route("GET", "/v1/policies/{name}/explain", explain),
    route("POST", "/v1/policies/{name}/swap", swap),
    route("POST", "/v1/policies/{name}/rollback", rollback),
    route("POST", "/v1/policies/{name}/release", release),
    route("POST", "/v1/guest", guest),
    route("GET", "/v1/openapi.json", document),
];

const fn route(
    method: &'static str,
    path: &'static str,
    run: fn(&Steward, &Call<'_>) -> Result<Answer, Problem>,
) -> Route {
    Route { method, path, run }
}

/// Carries out what a request asks for.
pub(super) fn answer(steward: &Steward, asked: Asked<'_>) -> Answer {
    let Asked {
        method,
        path,
        body,
        by,
    } = asked;
    let found = find(method, path);
    let run = found.and_then(|(route, name)| (route.run)(steward, &Call { name, body, by }));
    run.unwrap_or_else(Answer::from)
}

impl Call<'_> {
    /// Orders of whoever has sent the request.
    fn orders<'a>(&self, steward: &'a Steward) -> Orders<'a> {
        steward.ordered_by(self.by.clone())
    }
}

fn find(method: &str, path: &str) -> Result<(&'static Route, String), Problem> {
    let fits = |route: &'static Route| Some((route, fit(route.path, path)?));
    let here: Vec<_> = ROUTES.iter().filter_map(fits).collect();
    if here.is_empty() {
        return Err(
            Problem::new(404, "unknown-path", format!("there is no {path:?}"))
                .next("`GET /v1/openapi.json` lists what there is"),
        );
    }
    let methods: Vec<_> = here.iter().map(|(route, _)| route.method).collect();
    let methods = methods.join(", ");
    let mut here = here.into_iter();
    here.find(|(route, _)| route.method == method)
        .ok_or_else(|| {
            let message = format!("{path:?} takes {methods}, not {method}");
            Problem::new(405, "unknown-method", message).allow(methods)
        })
}

/// The name in a path, empty where there is none to be; none if the path is another.
fn fit(template: &str, path: &str) -> Option<String> {
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    let mut name = String::new();
    loop {
        match (template.next(), path.next()) {
            (None, None) => return Some(name),
            (Some("{name}"), Some(given)) if !given.is_empty() => name = decode(given)?,
            (Some(wanted), Some(given)) if wanted == given => {}
            (Some(_) | None, Some(_) | None) => return None,
        }
    }
}

fn ok(body: impl Serialize) -> Result<Answer, Problem> {
    answered(200, body)
}

fn answered(status: u16, body: impl Serialize) -> Result<Answer, Problem> {
    let body = serde_json::to_value(body);
    let body = body.map_err(|error| Problem::new(500, "broken", error.to_string()))?;
    Ok(Answer::new(status, body))
}

fn vm(steward: &Steward, _: &Call<'_>) -> Result<Answer, Problem> {
    let identity = steward.machine().identity();
    let (kept, warning) = steward.kept();
    let policies = steward.list().len();
    ok(json!({
        "name": identity.name,
        "uuid": identity.uuid,
        "arch": identity.arch,
        "oriel": env!("CARGO_PKG_VERSION"),
        "policies": policies,
        "kept": kept,
        "warning": warning,
    }))
}

fn list(steward: &Steward, _: &Call<'_>) -> Result<Answer, Problem> {
    let all = steward.list();
    let policies: Vec<_> = all.iter().map(|posted| shown(steward, posted)).collect();
    ok(json!({ "policies": policies }))
}

/// A policy in force, with what the operator said of it.
fn shown(steward: &Steward, posted: &oriel_engine::roster::Posted) -> Json {
    let said = steward.entry(posted).map(|entry| entry.said);
    let mut shown = json!(posted);
    shown["said"] = json!(said);
    shown
}

fn get(steward: &Steward, call: &Call<'_>) -> Result<Answer, Problem> {
    ok(shown(steward, &steward.get(&call.name)?))
}

fn load(steward: &Steward, call: &Call<'_>) -> Result<Answer, Problem> {
    let entry = Order::read(call.body)?.load()?;
    answered(201, call.orders(steward).load(entry)?)
}

fn unload(steward: &Steward, call: &Call<'_>) -> Result<Answer, Problem> {
    ok(call.orders(steward).unload(&call.name)?)
}

fn history(steward: &Steward, call: &Call<'_>) -> Result<Answer, Problem> {
    ok(json!({ "name": call.name, "revisions": steward.history(&call.name)? }))
}

fn failures(steward: &Steward, call: &Call<'_>) -> Result<Answer, Problem> {
    let reports = steward.failures(&call.name)?;
    let reports: Vec<_> = reports.iter().map(oriel_engine::lines::report).collect();
    ok(json!({ "name": call.name, "failures": reports }))
}

fn explain(steward: &Steward, call: &Call<'_>) -> Result<Answer, Problem> {
    ok(steward.explain(&call.name)?)
}

fn swap(steward: &Steward, call: &Call<'_>) -> Result<Answer, Problem> {
    let posted = steward.get(&call.name)?;
    let current = steward.entry(&posted);
    let (entry, how) = Order::read(call.body)?.swap(&call.name, current)?;
    ok(call.orders(steward).swap(entry, &how)?)
}

fn rollback(steward: &Steward, call: &Call<'_>) -> Result<Answer, Problem> {
    let orders::Rollback { to } = orders::read_or_default(call.body)?;
    ok(call.orders(steward).rollback(&call.name, to)?)
}

fn release(steward: &Steward, call: &Call<'_>) -> Result<Answer, Problem> {
    ok(call.orders(steward).release(&call.name)?)
}

fn guest(steward: &Steward, call: &Call<'_>) -> Result<Answer, Problem> {
    let question = orders::question(call.body)?;
    let answer = steward.ask_guest(&question);
    ok(answer.map_err(|unknown| Problem::new(404, "unknown", unknown.to_string()))?)
}

fn document(_: &Steward, _: &Call<'_>) -> Result<Answer, Problem> {
    ok(openapi::document())
}

#[cfg(test)]
mod tests;
