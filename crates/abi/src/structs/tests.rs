use super::*;

#[test]
fn request_fields_lie_where_guests_expect_them() {
    let request = KvmRequest {
        method: 0x0101,
        url: 0x0202,
        arg: 0x0303,
        content_type: 0x0404,
        method_len: 5,
        url_len: 6,
        arg_len: 7,
        content_type_len: 8,
        content: 0x0909,
        content_len: 10,
        headers: 0x0b0b,
        num_headers: 12,
        info_flags: 1,
        reserved0: 0,
        prng: [u64::MAX, 14],
        reserved1: [0; 2],
    };
    let bytes = request.to_bytes();
    assert_eq!(bytes[0..2], [1, 1]);
    assert_eq!(bytes[8..10], [2, 2]);
    assert_eq!(bytes[16..18], [3, 3]);
    assert_eq!(bytes[24..26], [4, 4]);
    assert_eq!(bytes[32..40], [5, 0, 6, 0, 7, 0, 8, 0]);
    assert_eq!(bytes[40..42], [9, 9]);
    assert_eq!(bytes[48], 10);
    assert_eq!(bytes[56..58], [11, 11]);
    assert_eq!(bytes[64..72], [12, 0, 1, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[72..80], [255; 8]);
    assert_eq!(bytes[80], 14);
    assert_eq!(bytes[88..], [0; 16]);
    assert_eq!(KvmRequest::from_bytes(&bytes), request);
}

#[test]
fn extra_fields_lie_where_guests_put_them() {
    let mut bytes = [0; 56];
    bytes[0..8].copy_from_slice(&0x1234_5678_9abc_u64.to_le_bytes());
    bytes[8..10].copy_from_slice(&3_u16.to_le_bytes());
    bytes[10] = 1;
    bytes[11] = 0xff;
    bytes[12..16].copy_from_slice(&1.5_f32.to_le_bytes());
    bytes[16..20].copy_from_slice(&2.5_f32.to_le_bytes());
    bytes[20..24].copy_from_slice(&f32::INFINITY.to_le_bytes());
    bytes[48] = 9;
    let extra = BackendResponseExtra::from_bytes(&bytes);
    let expected = BackendResponseExtra {
        headers: 0x1234_5678_9abc,
        num_headers: 3,
        cached: 1,
        ttl: 1.5,
        grace: 2.5,
        keep: f32::INFINITY,
        reserved: [0, 0, 0, 9],
    };
    assert_eq!(extra, expected);
    bytes[11] = 0;
    assert_eq!(extra.to_bytes(), bytes);
}

#[test]
fn small_structs_survive_the_round_trip() {
    let header = KvmRequestHeader {
        field: 0x1000,
        field_colon: 4,
        field_len: 14,
    };
    assert_eq!(header.to_bytes()[8..], [4, 0, 0, 0, 14, 0, 0, 0]);
    assert_eq!(KvmRequestHeader::from_bytes(&header.to_bytes()), header);

    let header = ResponseHeader {
        field: 0x2000,
        field_len: u64::MAX - 1,
    };
    assert_eq!(
        header.to_bytes()[8..],
        [254, 255, 255, 255, 255, 255, 255, 255]
    );
    assert_eq!(ResponseHeader::from_bytes(&header.to_bytes()), header);

    let info = Meminfo {
        max_memory: 1,
        max_reqmem: 2,
        reqmem_upper: 3,
        reqmem_current: 4,
    };
    assert_eq!(info.to_bytes()[24..], [4, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(Meminfo::from_bytes(&info.to_bytes()), info);
}

#[test]
fn the_start_of_a_filter_lies_where_guests_expect_it() {
    let start = FilterStart {
        method: 0x0101,
        config: 0x0404,
        method_len: 5,
        config_len: 8,
        request_headers: 0x0909,
        response_headers: 0x0a0a,
        num_request_headers: 11,
        num_response_headers: 12,
        length: u64::MAX,
        status: 200,
        flags: 1,
        prng: [u64::MAX, 14],
        ..FilterStart::default()
    };
    let bytes = start.to_bytes();
    assert_eq!((&bytes[0..2], &bytes[24..26]), (&[1, 1][..], &[4, 4][..]));
    assert_eq!(
        bytes[32..48],
        [5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0]
    );
    assert_eq!(bytes[48..50], [9, 9]);
    assert_eq!(bytes[56..58], [10, 10]);
    assert_eq!(bytes[64..72], [11, 0, 0, 0, 12, 0, 0, 0]);
    assert_eq!(bytes[72..80], [255; 8]);
    assert_eq!(bytes[80..88], [200, 0, 1, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[88..97], [255, 255, 255, 255, 255, 255, 255, 255, 14]);
    let output = FilterOutput {
        data: 0x0101,
        capacity: 2,
        length: 3,
    };
    let bytes = output.to_bytes();
    assert_eq!((bytes[1], bytes[8], bytes[16]), (1, 2, 3));
}
