//! Symbols of the kernel and of modules, by name and by address.

use oriel_guest::{Guest, Symbol, Symbols, Unknown};
use serde_json::{Value as Json, json};

use super::{Which, words::hex};

pub(super) fn symbols(
    guest: &Guest<'_>,
    which: &Which,
    module: Option<&str>,
) -> Result<Json, Unknown> {
    let own = module.map(|name| guest.module(name)).transpose()?;
    let table = guest.symbols_in(own.as_ref())?;
    let found = chosen(&table.value, which);
    if let (true, Which::Named(name) | Which::Variants(name)) = (found.is_empty(), which) {
        return Err(Unknown::Symbol(name.clone()));
    }
    Ok(json!({ "symbols": found, "module": module, "source": table.source }))
}

fn chosen<'s>(symbols: &'s Symbols, which: &'s Which) -> Vec<Symbol<'s>> {
    match which {
        Which::All => symbols.iter().collect(),
        Which::Named(name) => symbols.all(name).collect(),
        Which::Variants(name) => symbols.variants(name).collect(),
        Which::Starting(prefix) => symbols.starting(prefix).collect(),
    }
}

/// The last symbol that does not begin behind an address, in what holds the address.
pub(super) fn at(guest: &Guest<'_>, address: u64) -> Result<Json, Unknown> {
    let module = guest.owner_of(address)?;
    let table = guest.symbols_in(module.as_ref())?;
    let (symbol, offset) = table.value.at(address).ok_or(Unknown::Address(address))?;
    Ok(json!({
        "address": hex(address),
        "symbol": symbol,
        "offset": hex(offset),
        "module": module.map(|module| module.name),
        "source": table.source,
    }))
}
