use tinykvm::Segment;

use super::*;

const PAGE: u64 = PAGE_SIZE;

#[test]
fn memory_reads_back_across_pages_and_stops_at_the_end() {
    let mut guest = FakeGuest::new();
    guest.map_at(0x10000, 3 * PAGE, Protection::READ_WRITE);
    let data: Vec<u8> = (0..=255).cycle().take(6000).collect();
    guest.write(0x10100, &data).unwrap();
    assert_eq!(guest.bytes(0x10100, 6000), data);
    assert_eq!(guest.bytes(0x10000, 0x100), vec![0; 0x100]);
    assert!(guest.check_readable(0x10000, 3 * PAGE).is_ok());
    assert!(guest.check_readable(0x10000, 3 * PAGE + 1).is_err());
    assert!(guest.check_readable(u64::MAX, 2).is_err());
    assert!(guest.check_readable(u64::MAX, 0).is_ok());
}

#[test]
fn protections_are_enforced_and_split_areas() {
    let mut guest = FakeGuest::new();
    guest.map_at(0x10000, 3 * PAGE, Protection::READ_WRITE);
    guest.protect(0x11000, PAGE, Protection::READ).unwrap();
    assert!(guest.write(0x10ffc, &[1; 8]).is_err());
    assert_eq!(guest.protection(0x10000), Some(Protection::READ_WRITE));
    assert_eq!(guest.protection(0x11fff), Some(Protection::READ));
    assert_eq!(guest.protection(0x12000), Some(Protection::READ_WRITE));
    guest.protect(0x11000, PAGE, Protection::NONE).unwrap();
    assert!(guest.read(0x11000, &mut [0]).is_err());
    assert_eq!(guest.mapped_bytes(), 2 * PAGE);
    assert_eq!(
        guest.protect(0x12000, 2 * PAGE, Protection::READ),
        Err(MapError::NoMemory { length: 2 * PAGE })
    );
    let both = Protection {
        read: true,
        write: true,
        execute: true,
    };
    assert_eq!(
        guest.protect(0x10000, PAGE, both),
        Err(MapError::WriteExecute)
    );
}

#[test]
fn placements() {
    let mut guest = FakeGuest::new();
    let anywhere = guest
        .map(Placement::Anywhere, 5000, Protection::READ_WRITE)
        .unwrap();
    assert_eq!(anywhere, FakeGuest::MAP_START);
    let next = guest
        .map(Placement::Hint(anywhere + PAGE), 1, Protection::READ)
        .unwrap();
    assert_eq!(next, FakeGuest::MAP_START + 2 * PAGE);
    let hinted = guest
        .map(Placement::Hint(0x20000), 1, Protection::READ)
        .unwrap();
    assert_eq!(hinted, 0x20000);
    assert_eq!(
        guest.map(Placement::FixedFree(0x1f000), 2 * PAGE, Protection::READ),
        Err(MapError::Occupied { address: 0x1f000 })
    );
    guest.write(anywhere, b"old").unwrap();
    guest
        .map(Placement::Fixed(anywhere), PAGE, Protection::READ)
        .unwrap();
    assert_eq!(guest.bytes(anywhere, 3), [0; 3]);
    for bad in [0x123, USER_END, USER_END - PAGE + 1] {
        assert!(
            guest
                .map(Placement::Fixed(bad), PAGE, Protection::READ)
                .is_err()
        );
    }
    assert!(
        guest
            .map(Placement::Fixed(0), PAGE, Protection::READ)
            .is_err()
    );
    assert!(
        guest
            .map(Placement::Anywhere, u64::MAX, Protection::NONE)
            .is_err()
    );
}

#[test]
fn huge_reservations_cost_nothing_and_limits_hold() {
    let mut guest = FakeGuest::new().with_memory_limit(16 * PAGE);
    let huge = guest
        .map(Placement::Anywhere, 1 << 42, Protection::NONE)
        .unwrap();
    guest
        .protect(huge + PAGE, 16 * PAGE, Protection::READ_WRITE)
        .unwrap();
    guest
        .protect(huge + PAGE, 16 * PAGE, Protection::READ)
        .unwrap();
    assert_eq!(
        guest.map(Placement::Anywhere, PAGE, Protection::READ),
        Err(MapError::NoMemory { length: PAGE })
    );
    guest.unmap(huge, 2 * PAGE).unwrap();
    guest
        .map(Placement::Anywhere, PAGE, Protection::READ)
        .unwrap();
    assert_eq!(guest.protection(huge + PAGE), None);
}

#[test]
fn discard_and_unmap_forget_contents() {
    let mut guest = FakeGuest::new();
    guest.map_at(0x10000, 2 * PAGE, Protection::READ_WRITE);
    guest.write(0x10000, &[7; 8192]).unwrap();
    guest.discard(0x10000, PAGE).unwrap();
    assert_eq!(guest.bytes(0x10fff, 2), [0, 7]);
    guest.unmap(0x10000, 2 * PAGE).unwrap();
    guest.map_at(0x10000, 2 * PAGE, Protection::READ_WRITE);
    assert_eq!(guest.bytes(0x11000, 1), [0]);
    assert!(guest.discard(0x10000, 3 * PAGE).is_err());
    assert!(guest.unmap(0x10000, 5).is_err());
}

#[test]
fn the_heap_grows_shrinks_and_keeps_its_limits() {
    let mut guest = FakeGuest::new();
    let start = guest.set_heap_end(0);
    assert_eq!(guest.set_heap_end(start + 10_000), start + 10_000);
    guest.write(start, &[1; 10_000]).unwrap();
    assert_eq!(guest.set_heap_end(start + 1), start + 1);
    assert!(guest.check_readable(start + PAGE, 1).is_err());
    assert_eq!(guest.set_heap_end(start + 5000), start + 5000);
    assert_eq!(guest.bytes(start + PAGE, 1), [0]);
    assert_eq!(guest.set_heap_end(start - 1), start + 5000);
    assert_eq!(guest.set_heap_end(HEAP_LIMIT + 1), start + 5000);
    guest.map_at(start + 2 * PAGE, PAGE, Protection::READ);
    assert_eq!(guest.set_heap_end(start + 3 * PAGE), start + 5000);
}

#[test]
fn put_leaves_no_byte_behind_the_data() {
    let mut guest = FakeGuest::new();
    let text = guest.put_c_string("hello");
    assert_eq!(guest.read_c_string(text, 100).unwrap(), b"hello");
    assert!(guest.check_readable(text + 6, 1).is_err());
    let empty = guest.put(b"");
    assert!(guest.check_readable(empty, 1).is_err());
    let large = guest.put(&[3; 10_000]);
    assert_eq!(guest.bytes(large, 10_000), [3; 10_000]);
}

#[test]
fn calls_and_clocks() {
    let mut guest = FakeGuest::new();
    guest.set_syscall(1, [1, 2, 3, 4, 5, 6]);
    assert_eq!(guest.registers().r10, 4);
    guest.set_hypercall(0x10020, [1, 2, 3, 44, 5, 6]);
    assert_eq!(guest.registers().rcx, 44);
    guest.registers_mut().rax = u64::MAX;
    assert_eq!(guest.result(), -1);
    let (real, mono) = (guest.realtime(), guest.monotonic());
    guest.advance(Duration::from_millis(1));
    assert_eq!(guest.realtime() - real, guest.monotonic() - mono);
    guest.set_segment_base(Segment::Fs, 5);
    assert_eq!(
        (
            guest.segment_base(Segment::Fs),
            guest.segment_base(Segment::Gs)
        ),
        (5, 0)
    );
}
