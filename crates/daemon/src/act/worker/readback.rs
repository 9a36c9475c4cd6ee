//! TEMPORARY
use super::carrier::Shelter;
use portcullis_jail::Id;
use std::sync::Arc;
pub(crate) struct Readback;
impl Readback {
    pub(super) fn holds(&self, _id: &Id, _s: &Arc<Shelter>) -> Result<(), String> {
        Ok(())
    }
}
