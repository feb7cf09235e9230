//! Little-endian fields at fixed offsets, without unsafe code.

/// Reads fields of a struct of `N` bytes.
pub(super) struct Reader<'a, const N: usize>(pub(super) &'a [u8; N]);

impl<const N: usize> Reader<'_, N> {
    fn take<const SIZE: usize>(&self, offset: usize) -> [u8; SIZE] {
        let mut out = [0; SIZE];
        out.copy_from_slice(&self.0[offset..offset + SIZE]);
        out
    }

    pub(super) fn u8(&self, offset: usize) -> u8 {
        self.0[offset]
    }

    pub(super) fn u16(&self, offset: usize) -> u16 {
        u16::from_le_bytes(self.take(offset))
    }

    pub(super) fn u32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.take(offset))
    }

    pub(super) fn u64(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.take(offset))
    }

    pub(super) fn f32(&self, offset: usize) -> f32 {
        f32::from_le_bytes(self.take(offset))
    }
}

/// Builds a struct of `N` bytes; what is not written, padding too, is zero.
pub(super) struct Writer<const N: usize> {
    pub(super) bytes: [u8; N],
}

impl<const N: usize> Writer<N> {
    pub(super) fn new() -> Self {
        Self { bytes: [0; N] }
    }

    fn put(&mut self, offset: usize, value: &[u8]) -> &mut Self {
        self.bytes[offset..offset + value.len()].copy_from_slice(value);
        self
    }

    pub(super) fn u8(&mut self, offset: usize, value: u8) -> &mut Self {
        self.put(offset, &[value])
    }

    pub(super) fn u16(&mut self, offset: usize, value: u16) -> &mut Self {
        self.put(offset, &value.to_le_bytes())
    }

    pub(super) fn u32(&mut self, offset: usize, value: u32) -> &mut Self {
        self.put(offset, &value.to_le_bytes())
    }

    pub(super) fn u64(&mut self, offset: usize, value: u64) -> &mut Self {
        self.put(offset, &value.to_le_bytes())
    }

    pub(super) fn f32(&mut self, offset: usize, value: f32) -> &mut Self {
        self.put(offset, &value.to_le_bytes())
    }
}
