//! The description of the control API that programs read: `docs/openapi.json`, as it is in the book.

use serde_json::Value as Json;

/// The document.
const TEXT: &str = include_str!("../../../../docs/openapi.json");

/// The document, for a client.
pub(super) fn document() -> Json {
    // A test reads it, so here it can be read.
    serde_json::from_str(TEXT).unwrap_or_default()
}

#[cfg(test)]
pub(super) mod schema;

#[cfg(test)]
mod tests;
