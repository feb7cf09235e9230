//! Reading a program: which bytes go where, and its symbols.
//!
//! Everything in the file is hostile: each offset, length and address is checked here, and a
//! later stage only copies ranges that [`Image`] vouches for.

use std::ops::Range;

use goblin::container::{Container, Ctx, Endian};
use goblin::elf::header::{EM_X86_64, ET_DYN, ET_EXEC, Header};
use goblin::elf::program_header::{PF_R, PF_W, PF_X, PT_INTERP, PT_LOAD, PT_PHDR, ProgramHeader};
use goblin::elf::section_header::{SHT_SYMTAB, SectionHeader};
use goblin::elf::sym::{STB_GLOBAL, STT_FUNC, STT_NOTYPE, STT_OBJECT, Symtab};
use thiserror::Error;

use super::layout::{IMAGE_BASE, IMAGE_END, USER_START};
use crate::units::{page_down, page_up, to_usize};
use crate::{PAGE_SIZE, Protection};

/// At most this many loadable segments; the linkers in use make 4 to 10.
const MAX_SEGMENTS: usize = 64;
/// At most this many symbols are kept (a large C++ program has some 100,000).
const MAX_SYMBOLS: usize = 1 << 20;
/// `ELFCLASS64`, `ELFDATA2LSB` of elf.h.
const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;

/// Why a file is not a program that can be run.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ElfError {
    /// Not an ELF file, or cut off.
    #[error("not a readable ELF file: {0}")]
    Malformed(String),
    /// An ELF file of another kind.
    #[error("not a 64-bit little-endian x86-64 executable")]
    WrongKind,
    /// It asks for a dynamic loader.
    #[error("dynamically linked programs are not supported: link it with -static")]
    Dynamic,
    /// Nothing to load, or too much.
    #[error("{0} loadable segments; 1 to {MAX_SEGMENTS} are allowed")]
    SegmentCount(usize),
    /// A segment that points outside the file or outside the address space, or is inconsistent.
    #[error("segment {index} is invalid: {reason}")]
    Segment {
        /// Position among the loadable segments.
        index: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Two segments claim the same addresses.
    #[error("segments {first} and {second} overlap")]
    Overlap {
        /// The one with the lower address.
        first: usize,
        /// The other.
        second: usize,
    },
    /// The entry point lies in no executable segment.
    #[error("the entry point {0:#x} is not in an executable segment")]
    Entry(u64),
}

/// One loadable segment at its final address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentPlan {
    /// First address, not page-aligned in general.
    pub(crate) address: u64,
    /// Length in memory.
    pub(crate) length: u64,
    /// The bytes of the file that go to `address`.
    pub(crate) file: Range<usize>,
    /// What the program may do with it.
    pub(crate) allow: Protection,
}

impl SegmentPlan {
    /// The pages it lies in.
    pub(crate) fn pages(&self) -> Range<u64> {
        page_down(self.address)..page_up(self.address + self.length)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Symbol {
    address: u64,
    size: u64,
    name: String,
}

/// A parsed program.
#[derive(Debug, Clone)]
pub struct Image {
    bytes: Vec<u8>,
    segments: Vec<SegmentPlan>,
    /// Added to the addresses of a position-independent image.
    bias: u64,
    entry: u64,
    headers: u64,
    header_count: u64,
    symbols: Vec<Symbol>,
}

impl Image {
    /// Parses and checks a static or static-PIE x86-64 executable.
    ///
    /// # Errors
    /// [`ElfError`] says what is wrong with the file. No input panics.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, ElfError> {
        let context = Ctx::new(Container::Big, Endian::Little);
        let malformed = |error: goblin::error::Error| ElfError::Malformed(error.to_string());
        let header = goblin::elf::Elf::parse_header(&bytes).map_err(malformed)?;
        check_kind(&header)?;
        let offset = usize::try_from(header.e_phoff)
            .ok()
            .filter(|offset| *offset < bytes.len())
            .ok_or_else(|| ElfError::Malformed("no program headers".into()))?;
        let headers = ProgramHeader::parse(&bytes, offset, header.e_phnum.into(), context)
            .map_err(malformed)?;
        if headers.iter().any(|header| header.p_type == PT_INTERP) {
            return Err(ElfError::Dynamic);
        }
        let bias = if header.e_type == ET_DYN {
            IMAGE_BASE
        } else {
            0
        };
        let segments = plan_segments(&headers, bias, bytes.len())?;
        let entry = header.e_entry.wrapping_add(bias);
        let inside =
            |s: &SegmentPlan| s.allow.execute && (s.address..s.address + s.length).contains(&entry);
        if !segments.iter().any(inside) {
            return Err(ElfError::Entry(entry));
        }
        Ok(Self {
            symbols: read_symbols(&bytes, &header, bias, context),
            headers: header_address(&headers, &segments, header.e_phoff, bias),
            header_count: header.e_phnum.into(),
            bytes,
            segments,
            bias,
            entry,
        })
    }

    /// The address of a symbol, or `None` if the program has none of that name (or is stripped).
    #[must_use]
    pub fn symbol(&self, name: &str) -> Option<u64> {
        self.symbols
            .iter()
            .find(|symbol| symbol.name == name)
            .map(|symbol| symbol.address)
    }

    /// The function or object that `address` lies in, and how far in.
    #[must_use]
    pub fn describe(&self, address: u64) -> Option<(String, u64)> {
        let after = self
            .symbols
            .partition_point(|symbol| symbol.address <= address);
        let symbol = self.symbols.get(after.checked_sub(1)?)?;
        let offset = address - symbol.address;
        // Assembler symbols have size 0; they reach up to the next symbol.
        (offset < symbol.size || symbol.size == 0).then(|| (symbol.name.clone(), offset))
    }

    /// True if `address` lies in an executable segment.
    #[must_use]
    pub fn is_code(&self, address: u64) -> bool {
        self.segments
            .iter()
            .any(|s| s.allow.execute && (s.address..s.address + s.length).contains(&address))
    }

    /// Where execution starts.
    pub(crate) fn entry(&self) -> u64 {
        self.entry
    }

    /// What was added to the file's addresses.
    pub(crate) fn bias(&self) -> u64 {
        self.bias
    }

    /// The address of the program headers in memory (0 if they are in no segment), and how many.
    pub(crate) fn program_headers(&self) -> (u64, u64) {
        (self.headers, self.header_count)
    }

    /// The segments, by ascending address, without overlaps.
    pub(crate) fn segments(&self) -> &[SegmentPlan] {
        &self.segments
    }

    /// The file bytes of a segment.
    pub(crate) fn contents(&self, segment: &SegmentPlan) -> &[u8] {
        self.bytes.get(segment.file.clone()).unwrap_or_default()
    }

    /// First page boundary above all segments.
    pub(crate) fn end(&self) -> u64 {
        self.segments
            .last()
            .map_or(0, |segment| segment.pages().end)
    }
}

fn check_kind(header: &Header) -> Result<(), ElfError> {
    let executable = header.e_type == ET_EXEC || header.e_type == ET_DYN;
    let class = header.e_ident[4] == CLASS_64 && header.e_ident[5] == LITTLE_ENDIAN;
    let entries = header.e_phentsize == 56;
    if executable && class && header.e_machine == EM_X86_64 && entries {
        Ok(())
    } else {
        Err(ElfError::WrongKind)
    }
}

/// The loadable segments at their final addresses, checked and sorted.
fn plan_segments(
    headers: &[ProgramHeader],
    bias: u64,
    file_length: usize,
) -> Result<Vec<SegmentPlan>, ElfError> {
    let loads: Vec<_> = headers
        .iter()
        .filter(|h| h.p_type == PT_LOAD && h.p_memsz > 0)
        .collect();
    if loads.is_empty() || loads.len() > MAX_SEGMENTS {
        return Err(ElfError::SegmentCount(loads.len()));
    }
    let mut segments = Vec::with_capacity(loads.len());
    for (index, header) in loads.into_iter().enumerate() {
        let invalid = |reason| ElfError::Segment { index, reason };
        if header.p_filesz > header.p_memsz {
            return Err(invalid("it has more bytes in the file than in memory"));
        }
        let file_end = header.p_offset.checked_add(header.p_filesz);
        if file_end.is_none_or(|end| end > file_length as u64) {
            return Err(invalid("it points outside the file"));
        }
        let address = header
            .p_vaddr
            .checked_add(bias)
            .ok_or(invalid("its address wraps"))?;
        let end = address
            .checked_add(header.p_memsz)
            .ok_or(invalid("its length wraps"))?;
        if address < USER_START || end > IMAGE_END {
            return Err(invalid("it lies outside the addresses for programs"));
        }
        if address % PAGE_SIZE != header.p_offset % PAGE_SIZE && header.p_filesz > 0 {
            return Err(invalid("its address and file offset are not congruent"));
        }
        let flag = |bit| header.p_flags & bit != 0;
        segments.push(SegmentPlan {
            address,
            length: header.p_memsz,
            file: to_usize(header.p_offset)..to_usize(header.p_offset + header.p_filesz),
            allow: Protection {
                read: flag(PF_R),
                write: flag(PF_W),
                execute: flag(PF_X),
            },
        });
    }
    segments.sort_by_key(|segment| segment.address);
    for index in 1..segments.len() {
        if segments[index - 1].pages().end > segments[index].pages().start {
            return Err(ElfError::Overlap {
                first: index - 1,
                second: index,
            });
        }
    }
    Ok(segments)
}

/// Where the program headers are in memory, for `AT_PHDR`.
fn header_address(
    headers: &[ProgramHeader],
    segments: &[SegmentPlan],
    offset: u64,
    bias: u64,
) -> u64 {
    if let Some(header) = headers.iter().find(|header| header.p_type == PT_PHDR) {
        return header.p_vaddr.wrapping_add(bias);
    }
    let offset = to_usize(offset);
    segments
        .iter()
        .find(|segment| segment.file.contains(&offset))
        .map_or(0, |segment| {
            segment.address + (offset - segment.file.start) as u64
        })
}

/// The functions and objects of `.symtab`, by address. A broken table counts as none: a program
/// runs without symbols too.
fn read_symbols(bytes: &[u8], header: &Header, bias: u64, context: Ctx) -> Vec<Symbol> {
    let Ok(offset) = usize::try_from(header.e_shoff) else {
        return Vec::new();
    };
    if offset == 0 || offset >= bytes.len() {
        return Vec::new();
    }
    let Ok(sections) = SectionHeader::parse(bytes, offset, header.e_shnum.into(), context) else {
        return Vec::new();
    };
    let inside = |section: &SectionHeader| {
        let start = usize::try_from(section.sh_offset).ok()?;
        let end = start.checked_add(usize::try_from(section.sh_size).ok()?)?;
        bytes.get(start..end)
    };
    let table = sections
        .iter()
        .find(|section| section.sh_type == SHT_SYMTAB)
        .and_then(|section| {
            let strings = sections.get(usize::try_from(section.sh_link).ok()?)?;
            Some((inside(section)?, inside(strings)?))
        });
    let Some((table, strings)) = table else {
        return Vec::new();
    };
    let count = (table.len() / 24).min(MAX_SYMBOLS);
    let Ok(entries) = Symtab::parse(table, 0, count, context) else {
        return Vec::new();
    };
    let mut symbols: Vec<Symbol> = entries
        .iter()
        .filter(|entry| {
            let typed = matches!(entry.st_type(), STT_FUNC | STT_OBJECT);
            // Functions in assembler often have neither type nor size.
            typed || (entry.st_type() == STT_NOTYPE && entry.st_bind() == STB_GLOBAL)
        })
        .filter(|entry| entry.st_shndx != 0 && entry.st_name != 0)
        .filter_map(|entry| {
            let name = strings
                .get(entry.st_name..)?
                .split(|byte| *byte == 0)
                .next()?;
            let name = String::from_utf8_lossy(name).into_owned();
            let address = entry.st_value.checked_add(bias)?;
            Some(Symbol {
                address,
                size: entry.st_size,
                name,
            })
        })
        .collect();
    symbols.sort_by_key(|symbol| symbol.address);
    symbols
}

#[cfg(test)]
mod tests;
