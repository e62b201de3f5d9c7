//! Loaded modules.

use oriel_guest::{Guest, Unknown};
use serde_json::{Value as Json, json};

pub(super) fn modules(guest: &Guest<'_>) -> Result<Json, Unknown> {
    let listing = guest.modules()?;
    Ok(json!({
        "modules": listing.items,
        "ending": listing.ending,
        "source": listing.source,
    }))
}
