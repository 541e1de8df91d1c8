use std::sync::Arc;

use super::*;
use crate::disk::conformance;

#[test]
fn it_conforms() {
    let sim = SimDisk::new(1);
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    conformance::check(&disk).unwrap();
    assert_eq!(sim.used_bytes(), 0);
}
