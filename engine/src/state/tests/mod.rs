mod interleaved;
mod kept;
mod model;
mod replay;
pub(crate) mod store;
mod threads;
