//! What a thread keeps from request to request for evaluations whose dialect is not that of the rules,
//! so that only the body of an answer is allocated.

use std::cell::RefCell;

use crate::dialect::listing::Written;
use crate::dialect::ofrep::mapping::Members;
use crate::evaluate::AnyContext;

/// Buffers that were used before.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) context: AnyContext,
    pub(super) written: Written,
    pub(super) members: Members,
    pub(super) text: String,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Lends this thread's.
pub(super) fn lend<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with_borrow_mut(work)
}
