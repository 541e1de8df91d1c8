//! The ways in which a program of ours may end, and what must be true afterwards.

use oorandom::Rand64;

use super::medium::Survivors;
use super::mount::{Mounted, mount_or_skip, say};
use super::workload::{Moment, Program, Trial};

/// Says how many cuts it took, where no test is in the way of being read.
fn figure(mounted: &Mounted, what: &str, program: &Program) {
    let cuts = mounted.medium.lock().counts().cuts;
    say(&format!("figure: power cuts {what}, {} = {cuts}", program.name));
}

/// One store that goes on after each of `cuts` power cuts: in mid-write, in mid-recovery, soon
/// after.
pub(crate) fn power_cuts_in_a_row(program: &Program, cuts: u64) {
    let Some(mounted) = mount_or_skip(program.name) else { return };
    let mut trial = Trial::new(&mounted, program, "data");
    for seed in 0..cuts {
        let random = &mut Rand64::new(u128::from(seed));
        let moment = match seed % 4 {
            0 => Moment::AfterStart(random.rand_range(0..60)),
            _ => Moment::AfterReady(random.rand_range(0..150)),
        };
        let survivors = Survivors::ALL[random.rand_range(0..4) as usize];
        if seed % 7 == 6 {
            trial.kill(Moment::AfterReady(random.rand_range(0..50)));
        }
        trial.power_cut(moment, survivors, seed);
        let checked = trial.check();
        assert_eq!(checked, Ok(()), "{}: seed {seed}, {moment:?}, {survivors:?}", program.name);
    }
    assert!(trial.acknowledged > cuts, "it got somewhere: {trial:?}");
    figure(&mounted, &format!("in a row, with {} writes", trial.tried), program);
}

/// Cuts the power at each change in turn that making a store takes.
pub(crate) fn power_cuts_while_made(program: &Program) {
    let Some(mounted) = mount_or_skip(program.name) else { return };
    for changes in 0.. {
        let mut is_made = true;
        for survivors in Survivors::ALL {
            let mut trial = Trial::new(&mounted, program, &format!("{changes}-{survivors:?}"));
            trial.power_cut(Moment::AfterStart(changes), survivors, changes);
            let checked = trial.check();
            assert_eq!(checked, Ok(()), "{}: {changes} changes, {survivors:?}", program.name);
            is_made &= trial.acknowledged > 2;
        }
        if is_made {
            return figure(&mounted, "while it is made", program);
        }
    }
}

/// A process that is killed leaves what it did not sync for the next one to see. Whatever that one
/// builds upon must be durable before anything is acknowledged.
pub(crate) fn power_cuts_after_a_kill(program: &Program) {
    let Some(mounted) = mount_or_skip(program.name) else { return };
    for changes in 0.. {
        let mut trial = Trial::new(&mounted, program, &format!("{changes}"));
        trial.kill(Moment::AfterStart(changes));
        let is_made = trial.acknowledged > 2;
        trial.power_cut(Moment::AfterReady(30), Survivors::Nothing, changes);
        let checked = trial.check();
        assert_eq!(checked, Ok(()), "{}: {changes} changes before the kill", program.name);
        if is_made {
            return figure(&mounted, "after a kill while it is made", program);
        }
    }
}
