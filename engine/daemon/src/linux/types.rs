//! Types, and where their members are.

use std::sync::Arc;

use oriel_guest::{Found, Guest, Unknown, btf::Types};
use serde_json::{Value as Json, json};

pub(super) fn types(guest: &Guest<'_>, path: &str, module: Option<&str>) -> Result<Json, Unknown> {
    let types = known(guest, module)?;
    let mut answer = if path.contains(['.', '[']) {
        field(&types.value, path)?
    } else {
        json!(types.value.shape(path)?)
    };
    answer["source"] = json!(types.source);
    Ok(answer)
}

fn known(guest: &Guest<'_>, module: Option<&str>) -> Result<Found<Arc<Types>>, Unknown> {
    match module {
        Some(name) => Ok(guest.types_of(&guest.module(name)?)?),
        None => Ok(guest.index().types_found()?.clone()),
    }
}

fn field(types: &Types, path: &str) -> Result<Json, Unknown> {
    let field = types.field(path)?;
    Ok(json!({
        "path": path,
        "hops": field.hops,
        "offset": field.offset,
        "size": field.size,
        "bits": field.bits,
        "type": types.spelling(field.type_id),
    }))
}
