use super::*;

fn fresh() -> Shrinking {
    Shrinking {
        resets_left: FIRST_SHRINK,
        interval: FIRST_SHRINK,
        dropped_at: 0,
    }
}

#[test]
fn small_sets_are_kept_for_ever() {
    let mut shrinking = fresh();
    assert!((0..10_000).all(|_| !shrinking.is_due(SMALL_SET)));
}

/// The numbers of the resets that drop a set, of so many pages at each.
fn drops(pages: impl Fn(usize) -> usize) -> Vec<usize> {
    let mut shrinking = fresh();
    let due = |number: &usize| shrinking.is_due(pages(*number));
    (1..200).filter(due).collect()
}

#[test]
fn a_large_set_is_dropped_soon_and_then_rarely_if_it_is_needed() {
    assert_eq!(drops(|_| 1000), [2, 4, 12, 44, 172]);
    // What grows back to half of it is needed, too.
    assert_eq!(
        drops(|number| 1000 - 20 * number.min(20)),
        [2, 4, 12, 44, 172]
    );
    // A small set is no reset of a large one.
    assert_eq!(drops(|number| if number < 3 { 1000 } else { 10 }), [2]);
    // A set that did not grow back is dropped as soon as the first.
    let grows = |number: usize| if number <= 2 { 5000 } else { 1000 };
    assert_eq!(drops(grows), [2, 4, 6, 14, 46, 174]);
}

#[test]
fn zeros_are_as_many_as_wanted() {
    for length in [0, 1, 65535, 65536, 65537, 200_000] {
        let found: usize = zeros(length).map(<[u8]>::len).sum();
        assert_eq!(found, length);
        assert!(zeros(length).flatten().all(|&byte| byte == 0));
    }
}

/// What a guest, or the way it stopped, can leave in special registers is put back.
#[test]
fn every_special_register_counts_but_that_of_the_last_fault() {
    let settled = kvm_sregs::default();
    let changed = |change: fn(&mut kvm_sregs)| {
        let mut other = settled;
        change(&mut other);
        differ(&settled, &other) && differ(&other, &settled)
    };
    assert!(!changed(|_| {}));
    assert!(!changed(|of| of.cr2 = 1));
    let changes: [fn(&mut kvm_sregs); 17] = [
        |of| of.cr0 = 1,
        |of| of.cr3 = 1,
        |of| of.cr4 = 1,
        |of| of.cr8 = 1,
        |of| of.efer = 1,
        |of| of.apic_base = 1,
        |of| of.cs.l = 1,
        |of| of.ds.selector = 1,
        |of| of.es.base = 1,
        |of| of.fs.base = 1,
        |of| of.gs.base = 1,
        |of| of.ss.dpl = 1,
        |of| of.tr.limit = 1,
        |of| of.ldt.unusable = 1,
        |of| of.gdt.base = 1,
        |of| of.idt.limit = 1,
        |of| of.interrupt_bitmap[3] = 1,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        assert!(changed(change), "{number}");
    }
}
