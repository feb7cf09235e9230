//! Tripwires: a changed size or offset does not compile.

/// Size and field offsets of one struct, for the assertions in the C header.
#[cfg(test)]
pub(crate) struct Layout {
    pub(crate) c_name: &'static str,
    pub(crate) size: usize,
    pub(crate) fields: &'static [(&'static str, usize)],
}

/// Asserts at compile time that a struct has this size and these offsets.
macro_rules! layout {
    ($name:ident, $c_name:literal, $size:literal, { $($field:ident: $offset:literal),* $(,)? }) => {
        const _: () = {
            assert!(size_of::<$name>() == $size, "size changed: the guest ABI is fixed");
            assert!(align_of::<$name>() == 8, "alignment changed: the guest ABI is fixed");
            $(assert!(
                core::mem::offset_of!($name, $field) == $offset,
                "offset changed: the guest ABI is fixed"
            );)*
        };

        #[cfg(test)]
        impl $name {
            pub(crate) const LAYOUT: $crate::structs::layout::Layout =
                $crate::structs::layout::Layout {
                    c_name: $c_name,
                    size: $size,
                    fields: &[$((stringify!($field), $offset)),*],
                };
        }
    };
}
