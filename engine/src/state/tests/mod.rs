mod interleaved;
mod kept;
mod model;
pub(crate) mod store;
mod threads;
