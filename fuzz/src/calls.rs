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
    /// Anything.
    Any,
}

/// Number and arguments: d descriptor, p path, b buffer, s structure, l length, o offset, f flags,
/// i small, a address, r protection, g signal, t thread, m mode, x anything.
const SIGNATURES: &[(u16, &str)] = &[
    (0, "dbl"),
    (1, "dbl"),
    (2, "pfm"),
    (3, "d"),
    (4, "ps"),
    (5, "ds"),
    (6, "ps"),
    (7, "sii"),
    (8, "doi"),
    (9, "alrfdo"),
    (10, "alr"),
    (11, "al"),
    (12, "a"),
    (13, "gssi"),
    (14, "issi"),
    (15, ""),
    (16, "dxs"),
    (17, "dblo"),
    (18, "dblo"),
    (19, "dsi"),
    (20, "dsi"),
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
    (35, "ss"),
    (36, "is"),
    (37, "i"),
    (38, "iss"),
    (39, ""),
    (40, "ddsl"),
    (41, "iii"),
    (42, "dsi"),
    (43, "dss"),
    (44, "dblfsi"),
    (45, "dblfss"),
    (46, "dsf"),
    (47, "dsf"),
    (48, "di"),
    (49, "dsi"),
    (50, "di"),
    (51, "dss"),
    (52, "dss"),
    (53, "iiis"),
    (54, "diisl"),
    (55, "diiss"),
    (56, "fassa"),
    (60, "i"),
    (61, "tsfs"),
    (62, "tg"),
    (63, "s"),
    (72, "dis"),
    (72, "dii"),
    (73, "di"),
    (74, "d"),
    (75, "d"),
    (76, "po"),
    (77, "do"),
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
    (92, "pii"),
    (93, "dii"),
    (94, "pii"),
    (95, "m"),
    (96, "ss"),
    (97, "is"),
    (98, "is"),
    (99, "s"),
    (100, "s"),
    (115, "is"),
    (118, "sss"),
    (120, "sss"),
    (121, "t"),
    (124, "t"),
    (127, "si"),
    (128, "sssi"),
    (129, "tgs"),
    (130, "si"),
    (131, "ss"),
    (132, "ps"),
    (137, "ps"),
    (138, "ds"),
    (140, "it"),
    (143, "ts"),
    (144, "tis"),
    (149, "al"),
    (157, "isiii"),
    (158, "xa"),
    (160, "is"),
    (161, "p"),
    (186, ""),
    (187, "dol"),
    (191, "pssl"),
    (200, "tg"),
    (201, "s"),
    (202, "sixssx"),
    (203, "tls"),
    (204, "tls"),
    (213, "i"),
    (217, "dbl"),
    (218, "s"),
    (221, "doli"),
    (222, "iss"),
    (223, "iiss"),
    (224, "is"),
    (225, "i"),
    (226, "i"),
    (228, "is"),
    (229, "is"),
    (230, "iiss"),
    (231, "i"),
    (232, "dsii"),
    (233, "dids"),
    (234, "ttg"),
    (247, "itsfs"),
    (253, ""),
    (254, "dpf"),
    (257, "dpfm"),
    (258, "dpm"),
    (260, "dpiif"),
    (262, "dpsf"),
    (263, "dpf"),
    (264, "dpdp"),
    (265, "dpdpf"),
    (266, "pdp"),
    (267, "dpbl"),
    (268, "dpm"),
    (269, "dpi"),
    (270, "isssss"),
    (271, "sissi"),
    (273, "sl"),
    (274, "tss"),
    (275, "dsdslf"),
    (276, "ddlf"),
    (277, "dolf"),
    (278, "dsif"),
    (280, "dpsf"),
    (281, "dsiisi"),
    (282, "dsi"),
    (283, "if"),
    (284, "i"),
    (285, "dfol"),
    (286, "dfss"),
    (287, "ds"),
    (288, "dssf"),
    (289, "dsif"),
    (290, "if"),
    (291, "f"),
    (292, "ddf"),
    (293, "sf"),
    (294, "f"),
    (295, "dsiox"),
    (296, "dsiox"),
    (297, "ttgs"),
    (299, "dsifs"),
    (302, "tiss"),
    (306, "d"),
    (307, "dsif"),
    (309, "ss"),
    (316, "dpdpf"),
    (318, "blf"),
    (319, "pf"),
    (324, "if"),
    (325, "alf"),
    (326, "dsdslf"),
    (327, "dsioxf"),
    (328, "dsioxf"),
    (332, "dpffs"),
    (334, "slfx"),
    (424, "dgsf"),
    (434, "tf"),
    (435, "sl"),
    (436, "ddf"),
    (437, "dpsl"),
    (439, "dpif"),
    (441, "dsissi"),
    (447, "f"),
    (449, "sifsi"),
    (452, "dpmf"),
];

/// What an implemented call takes; anything if nobody said.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) number: u64,
    pub(crate) kinds: [Kind; 6],
}

/// The calls with these numbers.
pub(crate) fn calls(implemented: &[u64]) -> Vec<Call> {
    let mut calls = Vec::new();
    for &number in implemented {
        let before = calls.len();
        for (listed, signature) in SIGNATURES {
            if u64::from(*listed) == number {
                calls.push(Call {
                    number,
                    kinds: kinds(signature),
                });
            }
        }
        if calls.len() == before {
            calls.push(Call {
                number,
                kinds: [Kind::Any; 6],
            });
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
            _ => Kind::Any,
        };
    }
    kinds
}
