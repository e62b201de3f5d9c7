//! A component from front to back. Validates all but function bodies: whoever compiles them does that.

use wasmparser::{Parser, Payload, Result, ValidPayload, Validator, WasmFeatures, types::TypesRef};

/// A piece of a component.
pub(crate) struct Piece<'w, 'a> {
    pub(crate) payload: &'w Payload<'a>,
    pub(crate) valid: &'w ValidPayload<'a>,
    /// It is the component's own, not of a module or component in it.
    pub(crate) own: bool,
    /// The component's own types, with this piece; none inside of something in it, and behind its end.
    pub(crate) types: Option<TypesRef<'w>>,
}

/// Shows all pieces, in order.
pub(crate) fn walk<'a>(
    bytes: &'a [u8],
    mut see: impl FnMut(&Piece<'_, 'a>) -> Result<()>,
) -> Result<()> {
    let mut validator = Validator::new_with_features(WasmFeatures::default());
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        let valid = validator.payload(&payload)?;
        let own = depth == 0;
        match &valid {
            ValidPayload::Parser(_) => depth += 1,
            ValidPayload::End(_) => depth = depth.saturating_sub(1),
            ValidPayload::Ok | ValidPayload::Func(..) => {}
        }
        see(&Piece {
            payload: &payload,
            valid: &valid,
            own,
            types: validator.types(0).filter(|_| depth == 0),
        })?;
    }
    Ok(())
}
