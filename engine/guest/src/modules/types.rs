//! The types of a module: its BTF builds upon the kernel's. Owns the way to it, the kernel's list
//! of descriptions that came with modules.

use std::sync::Arc;

use super::{MOST, Module};
use crate::{
    answer::{Answer, Found, Source, Unknown},
    btf::Types,
    guest::Guest,
    lists::List,
};

impl Guest<'_> {
    /// The types of a module, with those of the kernel under them.
    ///
    /// # Errors
    /// [`Unknown`] where the list or its layout is; [`Unknown::NoTypes`] if the module has none;
    /// [`Unknown::Damaged`] if they do not hold together.
    pub fn types_of(&self, module: &Module) -> Answer<Arc<Types>> {
        let base = self.index().types()?;
        let list = List::new(self.space(), self.symbol("btf_modules")?);
        let (entry, owner) = (
            base.offset("btf_module.list")?,
            base.offset("btf_module.module")?,
        );
        let owned = |at: &u64| self.space().u64(at.wrapping_add(owner)) == Ok(module.address);
        let found = list
            .at_most(MOST)
            .map(|at| at.wrapping_sub(entry))
            .find(owned);
        let bytes = self.described(found.ok_or(Unknown::NoTypes)?)?;
        let types = Types::split(bytes, Arc::clone(base));
        let types = types.map_err(|_| Unknown::Damaged("the BTF of a module"))?;
        Ok(Found::new(Arc::new(types), Source::KallsymsAndBtf))
    }

    /// The bytes that an entry of the list leads to.
    fn described(&self, entry: u64) -> Result<Vec<u8>, Unknown> {
        let data = self.value(entry, "btf_module.btf.data")?;
        let size = self.value(entry, "btf_module.btf.data_size")?;
        let size = usize::try_from(size).map_err(|_| Unknown::Damaged("the BTF of a module"))?;
        self.space().bytes(data, size)
    }
}
