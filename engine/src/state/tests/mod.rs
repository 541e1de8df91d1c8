mod model;
pub(crate) mod store;
mod threads;
