//! Types, and where their members are.

use oriel_guest::{Guest, Unknown, btf::Types};
use serde_json::{Value as Json, json};

pub(super) fn types(guest: &Guest<'_>, path: &str, module: Option<&str>) -> Result<Json, Unknown> {
    let types = guest.types_in(module)?;
    let mut answer = if path.contains(['.', '[']) {
        field(&types.value, path)?
    } else {
        json!(types.value.shape(path)?)
    };
    answer["source"] = json!(types.source);
    Ok(answer)
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
