//! Reading a program: which bytes go where, and its symbols.
//!
//! Everything in the file is hostile: each offset, length and address is checked here, and a
//! later stage only copies ranges that [`Image`] vouches for.

mod source;
mod symbols;

use std::fs::File;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use goblin::container::{Container, Ctx, Endian};
use goblin::elf::header::{
    EM_386, EM_AARCH64, EM_ARM, EM_PPC64, EM_RISCV, EM_S390, EM_X86_64, ET_DYN, ET_EXEC, ET_REL,
    Header,
};
use goblin::elf::program_header::{PF_R, PF_W, PF_X, PT_INTERP, PT_LOAD, PT_PHDR, ProgramHeader};
use thiserror::Error;

use self::source::Source;
use self::symbols::Symbols;
use super::layout::{IMAGE_BASE, IMAGE_END, INTERPRETER_BASE, INTERPRETER_END, USER_START};
use crate::units::{page_down, page_up};
use crate::{PAGE_SIZE, Protection};

/// At most this many loadable segments; the linkers in use make 4 to 10.
const MAX_SEGMENTS: usize = 64;
/// Bytes of the file header and of a program header, and most bytes of program headers.
const HEADER_SIZE: usize = 64;
const PROGRAM_HEADER_SIZE: u64 = 56;
const MAX_PROGRAM_HEADERS: usize = 0xffff * 56;
/// `PATH_MAX` of linux/limits.h.
const MAX_PATH: usize = 4096;
const CONTEXT: Ctx = Ctx {
    container: Container::Big,
    le: Endian::Little,
};
/// `ELFCLASS64`, `ELFDATA2LSB` of elf.h.
const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;

/// Why a file is not a program that can be run.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ElfError {
    /// Not an ELF file, or cut off.
    #[error("not a readable ELF file: {0}")]
    Malformed(String),
    /// A text for an interpreter.
    #[error(
        "a script (#!{interpreter}), not an ELF program: configure its interpreter as the program, and the script as its argument"
    )]
    Script {
        /// What stands behind `#!`, shortened.
        interpreter: String,
    },
    /// Another file.
    #[error("not an ELF program ({length} bytes)")]
    NotElf {
        /// Its length.
        length: u64,
    },
    /// A program for another processor.
    #[error("is for {machine}, and x86-64 is needed")]
    Machine {
        /// Which one.
        machine: String,
    },
    /// What a compiler leaves for the linker.
    #[error("an object file that is not linked: link it to a program")]
    Object,
    /// A library.
    #[error("a shared library, not a program: link it to one")]
    Library,
    /// An ELF file of another kind.
    #[error("not a 64-bit little-endian x86-64 executable")]
    WrongKind,
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
    pub(crate) file: Range<u64>,
    /// What the program may do with it.
    pub(crate) allow: Protection,
}

impl SegmentPlan {
    /// The pages it lies in.
    pub(crate) fn pages(&self) -> Range<u64> {
        page_down(self.address)..page_up(self.address + self.length)
    }

    fn contains(&self, address: u64) -> bool {
        (self.address..self.address + self.length).contains(&address)
    }
}

/// A parsed program, or the interpreter of one.
#[derive(Debug, Clone)]
pub struct Image {
    source: Source,
    header: Header,
    segments: Vec<SegmentPlan>,
    /// Added to the addresses of a position-independent image.
    bias: u64,
    entry: u64,
    headers: u64,
    interpreter: Option<Vec<u8>>,
    /// Read when first asked for: large programs have many, and few ask.
    symbols: OnceLock<Symbols>,
}

impl Image {
    /// Parses and checks an x86-64 executable.
    ///
    /// # Errors
    /// [`ElfError`] says what is wrong with the file. No input panics.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, ElfError> {
        Self::of(Source::Bytes(bytes.into()), IMAGE_BASE)
    }

    /// As [`Self::parse`], from an open file: only headers are read now. It is kept open for its
    /// symbols.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn open(file: File) -> Result<Self, ElfError> {
        Self::of(file_source(file)?, IMAGE_BASE)
    }

    /// As [`Self::open`], for the file that another image names as its
    /// [interpreter](Self::interpreter).
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn open_interpreter(file: File) -> Result<Self, ElfError> {
        Self::of(file_source(file)?, INTERPRETER_BASE)
    }

    fn of(source: Source, base: u64) -> Result<Self, ElfError> {
        let malformed = |error: goblin::error::Error| ElfError::Malformed(error.to_string());
        let start = source
            .range(0, source.length().min(HEADER_SIZE as u64), HEADER_SIZE)
            .ok_or_else(|| ElfError::Malformed("its header can't be read".into()))?;
        if !start.starts_with(b"\x7fELF") {
            return Err(other_kind(&start, source.length()));
        }
        let header = goblin::elf::Elf::parse_header(&start).map_err(malformed)?;
        check_kind(&header)?;
        let length = u64::from(header.e_phnum) * PROGRAM_HEADER_SIZE;
        let headers = source
            .range(header.e_phoff, length, MAX_PROGRAM_HEADERS)
            .ok_or_else(|| ElfError::Malformed("no program headers".into()))?;
        let headers =
            ProgramHeader::parse(&headers, 0, header.e_phnum.into(), CONTEXT).map_err(malformed)?;
        let bias = if header.e_type == ET_DYN { base } else { 0 };
        let segments = plan_segments(&headers, bias, source.length())?;
        let interpreter = interpreter(&source, &headers)?;
        let entry = header.e_entry.wrapping_add(bias);
        let inside =
            |s: &SegmentPlan| s.allow.execute && (s.address..s.address + s.length).contains(&entry);
        if !segments.iter().any(inside) {
            let library = header.e_type == ET_DYN && interpreter.is_none();
            return Err(match library {
                true => ElfError::Library,
                false => ElfError::Entry(entry),
            });
        }
        Ok(Self {
            interpreter,
            headers: header_address(&headers, &segments, header.e_phoff, bias),
            source,
            header,
            segments,
            bias,
            entry,
            symbols: OnceLock::new(),
        })
    }

    /// The path of the dynamic loader that a dynamically linked program asks for.
    #[must_use]
    pub fn interpreter(&self) -> Option<&[u8]> {
        self.interpreter.as_deref()
    }

    fn symbols(&self) -> &Symbols {
        self.symbols
            .get_or_init(|| Symbols::read(&self.source, &self.header, self.bias, CONTEXT))
    }

    /// The address of a symbol, or `None` if the program has none of that name (or is stripped).
    #[must_use]
    pub fn symbol(&self, name: &str) -> Option<u64> {
        self.symbols().find(name)
    }

    /// The function or object that `address` lies in, and how far in.
    #[must_use]
    pub fn describe(&self, address: u64) -> Option<(String, u64)> {
        // The last symbol of a table has no size as a rule (`_end`), and seems to go on for ever.
        let inside = self.segments.iter().any(|s| s.contains(address));
        inside.then(|| self.symbols().describe(address)).flatten()
    }

    /// True if `address` lies in an executable segment.
    #[must_use]
    pub fn is_code(&self, address: u64) -> bool {
        self.segments
            .iter()
            .any(|s| s.allow.execute && s.contains(address))
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
        (self.headers, self.header.e_phnum.into())
    }

    /// The segments, by ascending address, without overlaps.
    pub(crate) fn segments(&self) -> &[SegmentPlan] {
        &self.segments
    }

    /// Reads bytes of the file; false if they are not there any more.
    pub(crate) fn read(&self, offset: u64, out: &mut [u8]) -> bool {
        self.source.read(offset, out)
    }

    /// First page boundary above all segments.
    pub(crate) fn end(&self) -> u64 {
        self.segments
            .last()
            .map_or(0, |segment| segment.pages().end)
    }
}

fn file_source(file: File) -> Result<Source, ElfError> {
    let about = file
        .metadata()
        .map_err(|error| ElfError::Malformed(error.to_string()))?;
    Ok(Source::File {
        length: about.len(),
        file: Arc::new(file),
    })
}

/// The path in the `PT_INTERP` header, without its NUL.
fn interpreter(source: &Source, headers: &[ProgramHeader]) -> Result<Option<Vec<u8>>, ElfError> {
    let Some(header) = headers.iter().find(|header| header.p_type == PT_INTERP) else {
        return Ok(None);
    };
    let path = source
        .range(header.p_offset, header.p_filesz, MAX_PATH)
        .filter(|path| path.last() == Some(&0))
        .map(|mut path| {
            let end = path.iter().position(|byte| *byte == 0).unwrap_or(0);
            path.truncate(end);
            path
        })
        .filter(|path| !path.is_empty());
    path.map(Some)
        .ok_or_else(|| ElfError::Malformed("its interpreter has no proper path".into()))
}

/// What a file is that does not begin as ELF files do.
fn other_kind(start: &[u8], length: u64) -> ElfError {
    let Some(line) = start.strip_prefix(b"#!") else {
        return ElfError::NotElf { length };
    };
    let line = line.split(|byte| *byte == b'\n').next();
    let interpreter = String::from_utf8_lossy(line.unwrap_or_default());
    ElfError::Script {
        interpreter: interpreter.trim().escape_debug().to_string(),
    }
}

/// What processors are called that programs may be for.
fn machine_name(header: &Header) -> String {
    match header.e_machine {
        EM_X86_64 => "x86-64 with 32-bit addresses".to_owned(),
        EM_386 => "32-bit x86".to_owned(),
        EM_AARCH64 => "AArch64".to_owned(),
        EM_ARM => "32-bit ARM".to_owned(),
        EM_RISCV => "RISC-V".to_owned(),
        EM_PPC64 => "PowerPC".to_owned(),
        EM_S390 => "S/390".to_owned(),
        other => format!("another processor (ELF machine {other})"),
    }
}

fn check_kind(header: &Header) -> Result<(), ElfError> {
    let executable = header.e_type == ET_EXEC || header.e_type == ET_DYN;
    let class = header.e_ident[4] == CLASS_64 && header.e_ident[5] == LITTLE_ENDIAN;
    if header.e_machine != EM_X86_64 || header.e_ident[4] != CLASS_64 {
        let machine = machine_name(header);
        return Err(ElfError::Machine { machine });
    }
    if header.e_type == ET_REL {
        return Err(ElfError::Object);
    }
    let entries = header.e_phentsize == 56;
    if executable && class && entries {
        Ok(())
    } else {
        Err(ElfError::WrongKind)
    }
}

/// The loadable segments at their final addresses, checked and sorted.
fn plan_segments(
    headers: &[ProgramHeader],
    bias: u64,
    file_length: u64,
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
        if file_end.is_none_or(|end| end > file_length) {
            return Err(invalid("it points outside the file"));
        }
        let address = header
            .p_vaddr
            .checked_add(bias)
            .ok_or(invalid("its address wraps"))?;
        let end = address
            .checked_add(header.p_memsz)
            .ok_or(invalid("its length wraps"))?;
        if address < USER_START || !is_for_images(address, end) {
            return Err(invalid("it lies outside the addresses for programs"));
        }
        if address % PAGE_SIZE != header.p_offset % PAGE_SIZE && header.p_filesz > 0 {
            return Err(invalid("its address and file offset are not congruent"));
        }
        let flag = |bit| header.p_flags & bit != 0;
        segments.push(SegmentPlan {
            address,
            length: header.p_memsz,
            file: header.p_offset..header.p_offset + header.p_filesz,
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

/// True for the two ranges that images may be in.
fn is_for_images(start: u64, end: u64) -> bool {
    end <= IMAGE_END || (start >= INTERPRETER_BASE && end <= INTERPRETER_END)
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
    segments
        .iter()
        .find(|segment| segment.file.contains(&offset))
        .map_or(0, |segment| segment.address + (offset - segment.file.start))
}

#[cfg(test)]
mod tests;
