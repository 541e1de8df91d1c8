mod model;
pub(crate) mod store;
