//! What the tests of the programs share. Each program is a file, or a directory, in `src/bin`.

/// All ways to cut `input` into two or three parts, and byte by byte.
///
/// A body comes in parts that end anywhere; what a filter makes of it has to be the same.
pub fn cuts(input: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let end = input.len();
    let cuts = (0..=end).flat_map(move |first| (first..=end).map(move |second| (first, second)));
    let parts =
        cuts.map(|(first, second)| vec![&input[..first], &input[first..second], &input[second..]]);
    parts.chain([input.chunks(1).collect()])
}
