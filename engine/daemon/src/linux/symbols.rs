//! Symbols of the kernel and of modules, by name and by address.

use std::borrow::Cow;

use oriel_guest::{Found, Guest, Module, Source, Symbol, Symbols, Unknown};
use serde_json::{Value as Json, json};

use super::{Which, words::hex};

type Table<'g> = Found<Cow<'g, Symbols>>;

pub(super) fn symbols(
    guest: &Guest<'_>,
    which: &Which,
    module: Option<&str>,
) -> Result<Json, Unknown> {
    let table = match module {
        Some(name) => of_module(guest, &guest.module(name)?)?,
        None => of_kernel(guest)?,
    };
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
    let in_kernel = guest.index().kernel().contains(address);
    let module = (!in_kernel).then(|| guest.module_at(address));
    let module = module.transpose()?;
    let table = match &module {
        Some(module) => of_module(guest, module)?,
        None => of_kernel(guest)?,
    };
    let (symbol, offset) = table.value.at(address).ok_or(Unknown::Address(address))?;
    Ok(json!({
        "address": hex(address),
        "symbol": symbol,
        "offset": hex(offset),
        "module": module.map(|module| module.name),
        "source": table.source,
    }))
}

fn of_kernel<'g>(guest: &Guest<'g>) -> Result<Table<'g>, Unknown> {
    let symbols = guest.symbols()?;
    Ok(Found::new(Cow::Borrowed(symbols), Source::Kallsyms))
}

fn of_module<'g>(guest: &Guest<'g>, module: &Module) -> Result<Table<'g>, Unknown> {
    Ok(guest.symbols_of(module)?.map(Cow::Owned))
}
