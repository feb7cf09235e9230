use proptest::prelude::*;

use super::*;

/// A small valid executable: one header, code at 0x401000.
pub(crate) fn minimal() -> Vec<u8> {
    let mut bytes = vec![0; 0x1010];
    bytes[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(16, &2u16.to_le_bytes());
    put(18, &62u16.to_le_bytes());
    put(20, &1u32.to_le_bytes());
    put(24, &0x40_1000u64.to_le_bytes());
    put(32, &64u64.to_le_bytes());
    put(52, &64u16.to_le_bytes());
    put(54, &56u16.to_le_bytes());
    put(56, &1u16.to_le_bytes());
    put(64, &1u32.to_le_bytes());
    put(68, &5u32.to_le_bytes());
    put(72, &0x1000u64.to_le_bytes());
    put(80, &0x40_1000u64.to_le_bytes());
    put(96, &0x10u64.to_le_bytes());
    put(104, &0x10u64.to_le_bytes());
    bytes
}

fn with(at: usize, value: &[u8]) -> Result<Image, ElfError> {
    let mut bytes = minimal();
    bytes[at..at + value.len()].copy_from_slice(value);
    Image::parse(bytes)
}

#[test]
fn a_minimal_executable_is_accepted() {
    let image = Image::parse(minimal()).unwrap();
    assert_eq!(image.entry(), 0x40_1000);
    assert_eq!(image.segments().len(), 1);
    assert_eq!(image.end(), 0x40_2000);
    assert!(image.is_code(0x40_100f) && !image.is_code(0x40_1010));
}

#[test]
fn each_defect_has_its_error() {
    for length in [0, 1, 63, 4096] {
        assert_eq!(
            Image::parse(vec![0; length]).unwrap_err(),
            ElfError::NotElf {
                length: length as u64
            }
        );
    }
    assert!(matches!(
        Image::parse(b"\x7fELF\x02\x01".to_vec()),
        Err(ElfError::Malformed(_))
    ));
    assert_eq!(
        Image::parse(b"#! /bin/sh -e\necho".to_vec()).unwrap_err(),
        ElfError::Script {
            interpreter: "/bin/sh -e".into()
        }
    );
    assert_eq!(
        with(18, &[183, 0]).unwrap_err(),
        ElfError::Machine {
            machine: "AArch64".into()
        }
    );
    assert_eq!(
        with(16, &[1, 0]).unwrap_err(),
        ElfError::Object,
        "an object file"
    );
    assert_eq!(
        with(64, &[4, 0, 0, 0]).unwrap_err(),
        ElfError::SegmentCount(0)
    );
    let segment = |at: usize, value: u64| with(at, &value.to_le_bytes()).unwrap_err();
    for (at, value) in [
        (96, 0x20),      // more in the file than in memory
        (72, u64::MAX),  // outside the file
        (72, 0x1001),    // not congruent
        (80, 0x1000),    // below the user addresses
        (80, u64::MAX),  // wraps
        (104, u64::MAX), // wraps
        (104, 1 << 62),  // too long
    ] {
        assert!(
            matches!(segment(at, value), ElfError::Segment { .. }),
            "{at} {value:#x}"
        );
    }
    assert_eq!(segment(24, 0x40_2000), ElfError::Entry(0x40_2000));
}

/// The minimal executable with a second header: an interpreter's path of `length` bytes.
fn with_interpreter(path: &[u8]) -> Result<Image, ElfError> {
    let mut bytes = minimal();
    bytes[56] = 2;
    bytes[120..124].copy_from_slice(&3u32.to_le_bytes());
    bytes[128..136].copy_from_slice(&0x200u64.to_le_bytes());
    bytes[152..160].copy_from_slice(&(path.len() as u64).to_le_bytes());
    bytes[0x200..0x200 + path.len()].copy_from_slice(path);
    Image::parse(bytes)
}

#[test]
fn the_interpreter_is_a_proper_path() {
    let image = with_interpreter(b"/lib/ld.so\0").unwrap();
    assert_eq!(image.interpreter(), Some(&b"/lib/ld.so"[..]));
    assert_eq!(Image::parse(minimal()).unwrap().interpreter(), None);
    for bad in [&b"/lib/ld.so"[..], b"\0", b""] {
        assert!(with_interpreter(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn overlapping_segments_are_refused() {
    let mut bytes = minimal();
    bytes[56] = 2;
    let header: Vec<u8> = bytes[64..120].to_vec();
    bytes[120..176].copy_from_slice(&header);
    assert_eq!(
        Image::parse(bytes).unwrap_err(),
        ElfError::Overlap {
            first: 0,
            second: 1
        }
    );
}

proptest! {
    #[test]
    fn damaged_files_never_panic(edits in proptest::collection::vec((0usize..0x1010, any::<u8>()), 1..20)) {
        let mut bytes = minimal();
        for (at, value) in edits {
            bytes[at] = value;
        }
        if let Ok(image) = Image::parse(bytes) {
            for segment in image.segments() {
                prop_assert!(segment.file.end - segment.file.start <= segment.length);
                prop_assert!(segment.file.end <= 0x1010);
            }
        }
    }

    #[test]
    fn damaged_headers_never_panic(edits in proptest::collection::vec((0usize..176, any::<u8>()), 1..8)) {
        let mut bytes = minimal();
        for (at, value) in edits {
            bytes[at] = value;
        }
        let _ = Image::parse(bytes);
    }
}
