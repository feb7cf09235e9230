//! What the calls take. Arguments that suit a call get further into it than random ones.

/// What an argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file descriptor.
    Descriptor,
    /// A pointer to a path.
    Path,
    /// A pointer to a buffer.
    Buffer,
    /// A pointer to some structure.
    Struct,
    /// A length.
    Length,
    /// An offset in a file.
    Offset,
    /// Bits.
    Flags,
    /// A small number: an operation.
    Small,
    /// A page-aligned address, perhaps of a mapping.
    Address,
    /// Protection of memory.
    Protection,
    /// A signal.
    Signal,
    /// A thread or process.
    Thread,
    /// A mode of a file.
    Mode,
    /// A pointer to the address of a socket.
    SocketAddress,
    /// Its length.
    AddressLength,
    /// A descriptor of a directory, or none.
    Directory,
    /// A descriptor of a socket.
    Socket,
    /// A pointer to a structure of the kind that has this letter.
    Preset(char),
    /// One of these.
    Among(&'static [u64]),
    /// Anything.
    Any,
}

/// Number and arguments, a letter each. Small letters: d descriptor, p path, b buffer, s structure,
/// l length, o offset, f flags, i small, a address, r protection, g signal, t thread, m mode,
/// k address of a socket, n length of one, x anything; structures that a call takes: v array of
/// buffers, c how many, h message, y time, u two times, q set of signals, e event, w how to open,
/// j action of a signal, z how to clone. Capitals and digits: D directory, Z socket, P descriptors to poll,
/// G what a timer does, and what is [`among`] some numbers.
const SIGNATURES: &[(u16, &str)] = &[
    (0, "dbl"),
    (1, "dbl"),
    (2, "pOm"),
    (3, "d"),
    (4, "ps"),
    (5, "ds"),
    (6, "ps"),
    (7, "Pci"),
    (8, "doH"),
    (9, "alrfdo"),
    (10, "alr"),
    (11, "al"),
    (12, "a"),
    (13, "gjs8"),
    (14, "Hqs8"),
    (15, ""),
    (16, "dIs"),
    (17, "dblo"),
    (18, "dblo"),
    (19, "dvc"),
    (20, "dvc"),
    (21, "pi"),
    (22, "s"),
    (23, "issss"),
    (24, ""),
    (25, "allfa"),
    (26, "ali"),
    (27, "alb"),
    (28, "ali"),
    (32, "d"),
    (33, "dd"),
    (34, ""),
    (35, "ys"),
    (36, "is"),
    (37, "i"),
    (38, "Hus"),
    (39, ""),
    (40, "dd0l"),
    (41, "FTQ"),
    (42, "Zkn"),
    (43, "Zss"),
    (44, "ZblMkn"),
    (45, "ZblMss"),
    (46, "ZhM"),
    (47, "ZhM"),
    (48, "ZH"),
    (49, "Zkn"),
    (50, "Zi"),
    (51, "Zss"),
    (52, "Zss"),
    (53, "FTQs"),
    (54, "ZLRsX"),
    (55, "ZLRss"),
    (56, "Csssa"),
    (60, "i"),
    (61, "tsfs"),
    (62, "Ug"),
    (63, "s"),
    (72, "dJs"),
    (72, "dJi"),
    (73, "di"),
    (74, "d"),
    (75, "d"),
    (76, "po"),
    (77, "do"),
    (78, "dbl"),
    (79, "bl"),
    (80, "p"),
    (81, "d"),
    (82, "pp"),
    (83, "pm"),
    (84, "p"),
    (85, "pm"),
    (86, "pp"),
    (87, "p"),
    (88, "pp"),
    (89, "pbl"),
    (90, "pm"),
    (91, "dm"),
    (92, "pSS"),
    (93, "dSS"),
    (94, "pSS"),
    (95, "m"),
    (96, "ss"),
    (97, "is"),
    (98, "is"),
    (99, "s"),
    (100, "s"),
    (102, ""),
    (104, ""),
    (105, "i"),
    (106, "i"),
    (107, ""),
    (108, ""),
    (109, "UU"),
    (110, ""),
    (111, ""),
    (112, ""),
    (115, "is"),
    (118, "sss"),
    (120, "sss"),
    (121, "t"),
    (124, "t"),
    (125, "ss"),
    (126, "ss"),
    (127, "s8"),
    (128, "qsy8"),
    (129, "Ugs"),
    (130, "q8"),
    (131, "ss"),
    (132, "ps"),
    (133, "pmx"),
    (137, "ps"),
    (138, "ds"),
    (140, "it"),
    (141, "iti"),
    (143, "ts"),
    (144, "tis"),
    (145, "t"),
    (146, "i"),
    (147, "i"),
    (149, "al"),
    (150, "al"),
    (151, "f"),
    (152, ""),
    (157, "3siii"),
    (158, "4a"),
    (160, "is"),
    (162, ""),
    (186, ""),
    (187, "dol"),
    (188, "pssli"),
    (189, "pssli"),
    (190, "dssli"),
    (191, "pssl"),
    (192, "pssl"),
    (193, "dssl"),
    (194, "pbl"),
    (195, "pbl"),
    (196, "dbl"),
    (197, "ps"),
    (198, "ps"),
    (199, "ds"),
    (200, "tg"),
    (201, "s"),
    (202, "sWiysi"),
    (203, "tls"),
    (204, "tls"),
    (213, "i"),
    (217, "dbl"),
    (218, "s"),
    (221, "dolH"),
    (222, "KGs"),
    (223, "YBus"),
    (224, "Yu"),
    (225, "Y"),
    (226, "Y"),
    (227, "Ky"),
    (228, "Ks"),
    (229, "Ks"),
    (230, "KBys"),
    (231, "i"),
    (232, "dsci"),
    (233, "dEde"),
    (234, "Utg"),
    (235, "pu"),
    (247, "itsfs"),
    (257, "DpOm"),
    (258, "Dpm"),
    (259, "Dpm0"),
    (260, "DpSSA"),
    (261, "Dpu"),
    (262, "DpsA"),
    (263, "DpA"),
    (264, "DpDp"),
    (265, "DpDpA"),
    (266, "pDp"),
    (267, "Dpbl"),
    (268, "Dpm"),
    (269, "Dpi"),
    (270, "iqqqys"),
    (271, "Pcyq8"),
    (273, "sl"),
    (274, "tss"),
    (275, "dsdslf"),
    (276, "ddlf"),
    (277, "dolf"),
    (278, "dsif"),
    (280, "DpuA"),
    (281, "dsciq8"),
    (282, "1q8"),
    (283, "KN"),
    (284, "i"),
    (285, "dHol"),
    (286, "dBus"),
    (287, "ds"),
    (288, "ZssN"),
    (289, "1q8N"),
    (290, "iN"),
    (291, "N"),
    (292, "ddN"),
    (293, "sN"),
    (295, "dvco0"),
    (296, "dvco0"),
    (297, "Utgs"),
    (299, "ZscMy"),
    (302, "tiss"),
    (306, "d"),
    (307, "ZscM"),
    (309, "ss"),
    (316, "DpDpH"),
    (318, "blf"),
    (319, "pH"),
    (324, "if"),
    (325, "alf"),
    (326, "d0d0l0"),
    (327, "dvco00"),
    (328, "dvco00"),
    (332, "DpAfs"),
    (334, "slfx"),
    (435, "zV"),
    (436, "ddf"),
    (437, "Dpw9"),
    (439, "DpiA"),
    (441, "dscyq8"),
    (452, "DpmA"),
];

/// What an implemented call takes.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) number: u64,
    pub(crate) kinds: [Kind; 6],
}

/// The calls with these numbers.
pub(crate) fn calls(implemented: &[u64]) -> Vec<Call> {
    let mut calls = Vec::new();
    for &number in implemented {
        for (listed, signature) in SIGNATURES {
            if u64::from(*listed) == number {
                calls.push(Call {
                    number,
                    kinds: kinds(signature),
                });
            }
        }
    }
    calls
}

fn kinds(signature: &str) -> [Kind; 6] {
    let mut kinds = [Kind::Any; 6];
    for (kind, letter) in kinds.iter_mut().zip(signature.chars()) {
        *kind = match letter {
            'd' => Kind::Descriptor,
            'p' => Kind::Path,
            'b' => Kind::Buffer,
            's' => Kind::Struct,
            'l' => Kind::Length,
            'o' => Kind::Offset,
            'f' => Kind::Flags,
            'i' => Kind::Small,
            'a' => Kind::Address,
            'r' => Kind::Protection,
            'g' => Kind::Signal,
            't' => Kind::Thread,
            'm' => Kind::Mode,
            'k' => Kind::SocketAddress,
            'n' => Kind::AddressLength,
            'D' => Kind::Directory,
            'Z' => Kind::Socket,
            'v' | 'h' | 'y' | 'u' | 'q' | 'e' | 'w' | 'j' | 'z' | 'P' | 'G' => Kind::Preset(letter),
            'c' | 'A'..='Z' | '0'..='9' => Kind::Among(among(letter)),
            _ => Kind::Any,
        };
    }
    kinds
}

/// What is meant by letters that stand for numbers.
fn among(letter: char) -> &'static [u64] {
    match letter {
        'A' => &[0, 0, 0x100, 0x200, 0x400, 0x800, 0x1000], // AT_ flags
        'B' => &[0, 0, 1],
        'C' => &[0x5_0f00, 0x3d_0f00, 0x35_0f00, 0x5_0f00, 0x7d_0f00], // threads
        'E' => &[1, 1, 1, 2, 3],                                       // EPOLL_CTL_
        'F' => &[1, 1, 2, 2, 10],                                      // AF_UNIX, INET, INET6
        'H' => &[0, 1, 2, 3],
        'I' => &[0x5401, 0x5413, 0x541b, 0x5421, 0x5450, 0x5451, 0x5452], // ioctls of all kinds
        'J' => &[
            0, 1, 2, 3, 4, 5, 6, 7, 1030, 1031, 1032, 1033, 1034, 36, 37, 38,
        ], // F_
        'K' => &[0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 11],                       // CLOCK_
        'L' => &[1, 1, 6, 0, 41],                                         // SOL_ and IPPROTO_
        'M' => &[0, 0, 0x40, 0x4000, 0x4040, 2, 0x20, 0x100],             // MSG_
        'N' => &[0, 0x800, 0x8_0000, 0x8_0800],                           // NONBLOCK, CLOEXEC
        'O' => &[
            0, 0, 2, 0x42, 0x241, 0x441, 0x1_0000, 0x20_0000, 0x800, 0xc2, 0x2_0000, 0x9_0000,
        ], // O_
        'Q' => &[0, 0, 0, 6, 17],
        'R' => &[
            2, 3, 4, 6, 7, 8, 9, 13, 15, 16, 20, 21, 29, 30, 38, 39, 1, 5, 12, 18,
        ], // SO_ and TCP_
        'S' => &[0xffff_ffff, 0xffff_ffff, 0, 1000], // users
        'T' => &[1, 1, 0x801, 0x8_0001, 2, 0x802, 5],
        'U' => &[1, 1, 0x3f_fffe, 0], // processes
        'V' => &[88, 88, 64, 80],
        'W' => &[
            0, 128, 1, 129, 9, 137, 10, 138, 3, 131, 4, 132, 5, 133, 6, 134, 7, 135, 8, 136, 11,
            140,
        ], // FUTEX_
        'X' => &[4, 4, 8, 16, 1],
        'Y' => &[0, 0, 1, 2],
        '0' => &[0],
        '1' => &[0xffff_ffff],
        '3' => &[15, 16, 3, 4, 8, 22, 38, 39, 1, 2, 23], // PR_
        '4' => &[0x1001, 0x1002, 0x1003, 0x1004],
        '8' => &[8],
        '9' => &[24],
        _ => &[1, 1, 2, 3], // how many
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tinykvm_linux::ProcessOptions;

    use super::SIGNATURES;
    use crate::policy::implemented;

    #[test]
    fn every_call_of_the_table_has_a_signature() {
        let known = implemented(&ProcessOptions::default());
        let known: BTreeSet<u64> = known.into_iter().collect();
        let signed = SIGNATURES.iter().map(|&(number, _)| u64::from(number));
        let signed: BTreeSet<u64> = signed.collect();
        assert!(known.len() > 200, "{}", known.len());
        assert_eq!(known, signed);
    }

    #[test]
    fn every_letter_means_something() {
        for (number, signature) in SIGNATURES {
            let known = "dpbslofiargtmknxvchyuqewjzDPGABCEFHIJKLMNOQRSTUVWXYZ013489";
            let strange = signature.trim_matches(|letter| known.contains(letter));
            assert!(
                strange.is_empty() && signature.len() <= 6,
                "{number}: {signature}"
            );
        }
    }
}
