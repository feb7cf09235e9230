use std::sync::Arc;

use crate::objects::memfd::{LARGEST, MemoryFile, Seals};
use crate::wire::errno::{EFBIG, EINVAL, ENOSPC, EOPNOTSUPP, EPERM};

const MOST: u64 = 1 << 20;

fn file() -> MemoryFile {
    MemoryFile::new(Seals::NONE)
}

#[test]
fn is_read_as_it_was_written() {
    let mut file = file();
    assert_eq!(file.read(0, 10), b"");
    assert_eq!(file.write(4090, b"over the border", MOST), Ok(15));
    assert_eq!((file.size(), file.used()), (4105, 8192));
    assert_eq!(file.read(4095, 5), b"the b");
    assert_eq!(file.read(4100, 99), b"order");
    assert_eq!(file.read(4105, 9), b"");
    assert_eq!(file.read(u64::MAX, 9), b"");
    assert_eq!(file.read(0, 3), [0; 3], "a hole");
}

#[test]
fn what_was_cut_off_is_zero() {
    let mut file = file();
    file.write(0, &[7; 10000], MOST).unwrap();
    file.resize(5000).unwrap();
    file.resize(9000).unwrap();
    assert_eq!(file.read(4999, 3), [7, 0, 0]);
    assert_eq!((file.size(), file.used()), (9000, 8192));
    file.resize(0).unwrap();
    assert_eq!(file.used(), 0);
}

#[test]
fn takes_no_more_than_it_may() {
    let mut file = file();
    assert_eq!(file.write(0, &[1; 10000], 8192), Ok(8192));
    assert_eq!(file.write(8192, &[1], 8192), Err(ENOSPC));
    assert_eq!(
        file.write(0, &[2; 8192], 8192),
        Ok(8192),
        "what is there already"
    );
    assert_eq!(file.write(u64::MAX, &[1], MOST), Err(EFBIG));
    assert_eq!(file.resize(LARGEST), Ok(()), "holes cost nothing");
    assert_eq!(file.resize(LARGEST + 1), Err(EFBIG));
}

#[test]
fn seals_hold() {
    let mut file = file();
    file.write(0, b"text", MOST).unwrap();
    file.seal(2 | 4).unwrap();
    assert_eq!((file.resize(3), file.resize(5)), (Err(EPERM), Err(EPERM)));
    assert_eq!(file.write(4, b"x", MOST), Err(EPERM));
    assert_eq!(file.write(0, b"T", MOST), Ok(1));
    file.seal(8 | 1).unwrap();
    assert_eq!(file.write(0, b"x", MOST), Err(EPERM));
    assert_eq!((file.seal(2), file.seal(64)), (Err(EPERM), Err(EINVAL)));
    assert_eq!(file.seals(), Seals(15));
    assert_eq!(file.read(0, 9), b"Text");
}

#[test]
fn holes_can_be_made() {
    let mut file = file();
    file.write(0, &[7; 12288], MOST).unwrap();
    file.allocate(3, 4000, 5000).unwrap();
    assert_eq!((file.size(), file.used()), (12288, 8192));
    assert_eq!(file.read(3999, 2), [7, 0]);
    assert_eq!(file.read(8999, 2), [0, 7]);
    file.allocate(3, 20000, 5000).unwrap();
    // Behind the end, but in its last page.
    file.resize(12000).unwrap();
    file.allocate(3, 12100, 50).unwrap();
    assert_eq!((file.size(), file.read(11999, 9)), (12000, vec![7]));
    file.allocate(0, 12288, 10).unwrap();
    assert_eq!(file.size(), 12298);
    assert_eq!(file.allocate(0, u64::MAX, 2), Err(EFBIG));
    assert_eq!(file.allocate(0x40, 0, 1), Err(EOPNOTSUPP));
}

#[test]
fn a_copy_shares_pages() {
    let mut file = file();
    file.write(0, &[1; 8192], MOST).unwrap();
    let copy = file.clone();
    file.write(0, &[2], MOST).unwrap();
    assert_eq!((copy.read(0, 1), file.read(0, 1)), (vec![1], vec![2]));
    assert!(Arc::ptr_eq(&copy.pages[&1].bytes, &file.pages[&1].bytes));
}
