//! What the fuzz targets do with their input. Each is a plain function that panics if something does not hold;
//! `tests/corpora` gives them the checked-in inputs of `fuzz/corpus` with every ordinary test run.

mod directory;
mod image;
mod import;
mod log;
mod record;
mod repair;

pub use directory::directory;
pub use image::image;
pub use import::import;
pub use log::{frame, group, history, manifest, segment};
pub use record::record;

/// A target's body.
pub type Target = fn(&[u8]);

/// Every target by the name of its directory under `fuzz/corpus`.
pub const TARGETS: [(&str, Target); 9] = [
    ("directory", directory),
    ("frame", frame),
    ("group", group),
    ("history", history),
    ("image", image),
    ("import", import),
    ("manifest", manifest),
    ("record", record),
    ("segment", segment),
];
