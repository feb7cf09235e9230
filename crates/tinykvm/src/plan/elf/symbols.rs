//! A program's symbols, for backtraces and for calls by name.

use goblin::container::Ctx;
use goblin::elf::header::Header;
use goblin::elf::section_header::{SHT_SYMTAB, SectionHeader};
use goblin::elf::sym::{STB_GLOBAL, STT_FUNC, STT_NOTYPE, STT_OBJECT, Symtab};

use super::source::Source;

/// At most this many symbols are kept (a large C++ program has some 100,000).
const MAX_SYMBOLS: usize = 1 << 20;
/// Bytes of a symbol in the file.
const ENTRY_SIZE: usize = 24;
/// At most this many bytes of names.
const MAX_NAMES: usize = 128 << 20;
/// Bytes of a section header, and most of them.
const SECTION_SIZE: u64 = 64;
const MAX_SECTIONS: usize = 0xffff * 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Symbol {
    address: u64,
    size: u64,
    name: usize,
}

/// The functions and objects of `.symtab`, by address.
#[derive(Debug, Clone, Default)]
pub(super) struct Symbols {
    by_address: Vec<Symbol>,
    names: Vec<u8>,
}

impl Symbols {
    /// Reads them. A broken table counts as none: a program runs without symbols too.
    pub(super) fn read(source: &Source, header: &Header, bias: u64, context: Ctx) -> Self {
        Self::try_read(source, header, bias, context).unwrap_or_default()
    }

    fn try_read(source: &Source, header: &Header, bias: u64, context: Ctx) -> Option<Self> {
        if header.e_shoff == 0 || u64::from(header.e_shentsize) != SECTION_SIZE {
            return None;
        }
        let length = u64::from(header.e_shnum) * SECTION_SIZE;
        let headers = source.range(header.e_shoff, length, MAX_SECTIONS)?;
        let sections =
            SectionHeader::parse_from(&headers, 0, header.e_shnum.into(), context).ok()?;
        let table = sections
            .iter()
            .find(|section| section.sh_type == SHT_SYMTAB)?;
        let strings = sections.get(usize::try_from(table.sh_link).ok()?)?;
        let size = table.sh_size.min((MAX_SYMBOLS * ENTRY_SIZE) as u64);
        let bytes = source.range(table.sh_offset, size, MAX_SYMBOLS * ENTRY_SIZE)?;
        let names = source.range(strings.sh_offset, strings.sh_size, MAX_NAMES)?;
        let entries = Symtab::parse(&bytes, 0, bytes.len() / ENTRY_SIZE, context).ok()?;
        let mut by_address: Vec<Symbol> = entries
            .iter()
            .filter(|entry| {
                let typed = matches!(entry.st_type(), STT_FUNC | STT_OBJECT);
                // Functions in assembler often have neither type nor size.
                typed || (entry.st_type() == STT_NOTYPE && entry.st_bind() == STB_GLOBAL)
            })
            .filter(|entry| entry.st_shndx != 0 && entry.st_name != 0)
            .filter(|entry| entry.st_name < names.len())
            .filter_map(|entry| {
                Some(Symbol {
                    address: entry.st_value.checked_add(bias)?,
                    size: entry.st_size,
                    name: entry.st_name,
                })
            })
            .collect();
        by_address.sort_by_key(|symbol| symbol.address);
        Some(Self { by_address, names })
    }

    fn name(&self, symbol: &Symbol) -> &[u8] {
        let rest = self.names.get(symbol.name..).unwrap_or_default();
        rest.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// The address of the symbol of a name.
    pub(super) fn find(&self, name: &str) -> Option<u64> {
        self.by_address
            .iter()
            .find(|symbol| self.name(symbol) == name.as_bytes())
            .map(|symbol| symbol.address)
    }

    /// The symbol that `address` lies in, and how far in.
    pub(super) fn describe(&self, address: u64) -> Option<(String, u64)> {
        let after = self
            .by_address
            .partition_point(|symbol| symbol.address <= address);
        let symbol = self.by_address.get(after.checked_sub(1)?)?;
        let offset = address - symbol.address;
        let name = || String::from_utf8_lossy(self.name(symbol)).into_owned();
        // Assembler symbols have size 0; they reach up to the next symbol.
        (offset < symbol.size || symbol.size == 0).then(|| (name(), offset))
    }
}
