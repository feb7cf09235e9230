//! A program that initialises itself.

use std::sync::Arc;
use std::time::Duration;

use kvm_bindings::kvm_sregs;

use super::template::Template;
use crate::arch::x86_64::special::USER_RFLAGS;
use crate::arch::x86_64::stubs;
use crate::kvm::time::monotonic_now;
use crate::machine::flavour::Flavour;
use crate::machine::memory::book::{Book, Frames};
use crate::machine::memory::editor::Editor;
use crate::machine::memory::frozen::FrozenMemory;
use crate::machine::memory::guest_memory::GuestMemory;
use crate::machine::memory::{ahead, system};
use crate::machine::vcpu::core::Core;
use crate::machine::vcpu::engine::Engine;
use crate::machine::vcpu::exit::Exit;
use crate::mem::{LARGE_PAGE, Mapping, Memfd, Sharing, well_filled};
use crate::plan::elf::{ElfError, Image, SegmentPlan};
use crate::plan::layout::{
    FIRST_FRAME, HOST_PAGE_VCPU_RECORD, MAIN_PHYSICAL, RANDOM, RANDOM_SIZE, STACK_SIZE, STACK_TOP,
    SYSTEM_HOST_PAGE, SYSTEM_VDSO, USER_STUBS,
};
use crate::units::{page_down, page_up, to_usize};
use crate::{EngineError, Limits, MapError, PAGE_SIZE, Placement, Protection, Registers, Stopper};

/// What to boot.
#[derive(Debug, Clone)]
pub struct BootOptions<'a> {
    /// The program.
    pub image: Arc<Image>,
    /// The [interpreter](Image::interpreter) that it asks for, if it does.
    pub interpreter: Option<Arc<Image>>,
    /// What it may use.
    pub limits: Limits,
    /// A vDSO image, which is mapped right behind the host page. At most 64 KB.
    pub vdso: Option<&'a [u8]>,
}

/// Where a loaded program's parts are, as its start-up code must be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    /// Where execution starts: in the interpreter, if there is one.
    pub start: u64,
    /// The program's own entry point.
    pub entry: u64,
    /// Address of the program headers; 0 if they are not in memory.
    pub phdr: u64,
    /// Bytes of a program header.
    pub phent: u64,
    /// Number of program headers.
    pub phnum: u64,
    /// What was added to the addresses of a position-independent program; else 0.
    pub base: u64,
    /// Where the interpreter is; 0 without one.
    pub interpreter: u64,
    /// First address above what the start-up code may put on the stack.
    pub stack_top: u64,
    /// Bytes of stack.
    pub stack_size: u64,
    /// The page that the host writes before each call; the program may read it.
    pub host_page: u64,
    /// Sixteen random bytes at the top of the stack, fresh for each call. The program may write
    /// there.
    pub random: u64,
    /// The vDSO image, if there is one.
    pub vdso: Option<u64>,
}

/// Bytes below the stack pointer that code may use without moving it (System V ABI, 3.2.2).
const RED_ZONE: u64 = 128;

/// A program on its way to the wait call, alone in its VM.
#[derive(Debug)]
pub struct Booting {
    pub(crate) core: Core,
    image: Arc<Image>,
    memfd: Memfd,
    loaded: Loaded,
    limits: Limits,
    /// Special registers of a fresh program.
    fresh: kvm_sregs,
    /// The stack pointer that the program started with: its arguments are above.
    first_rsp: u64,
}

impl Booting {
    /// Loads a program into a VM of its own.
    ///
    /// # Errors
    /// [`EngineError::MemoryRange`] if no program can have so much or little memory,
    /// [`EngineError::NoMemory`] if this one does not fit into it; else what KVM or the host's
    /// memory refused.
    pub fn new(engine: &'static Engine, options: &BootOptions<'_>) -> Result<Self, EngineError> {
        let limits = options.limits;
        let small = |what, needed| EngineError::NoMemory {
            what,
            needed,
            limit: limits.memory,
        };
        if !Limits::MEMORY.contains(&limits.memory) {
            return Err(EngineError::MemoryRange {
                limit: limits.memory,
            });
        }
        let length = page_up(limits.memory) + FIRST_FRAME;
        let memfd = Memfd::new(length)?;
        let mut main = Mapping::of_file(&memfd, Sharing::Shared)?;
        system::write(&mut main, options.vdso)?;
        let mut frames = Frames::new(FIRST_FRAME / PAGE_SIZE, length / PAGE_SIZE);
        let root = {
            // The tables are built before the VM exists, on the same memory.
            let host_page = Mapping::anonymous(to_usize(PAGE_SIZE))?;
            let mut memory = GuestMemory::new(main, host_page, 0);
            let mut editor = Editor::with_root(&mut memory, &mut frames)?;
            system::map(
                &mut editor,
                options.vdso.map_or(0, |image| image.len() as u64),
            )?;
            if engine.flavour() == Flavour::Pvm {
                system::map_vector_area(&mut editor)?;
            }
            let root = editor.root();
            main = memory.main;
            root
        };
        let book = Book::new(frames, limits.allow_write_execute);
        let mut core = Core::new(engine, main, root, book, 0)?;
        core.start_vcpu(None, SYSTEM_HOST_PAGE + HOST_PAGE_VCPU_RECORD)?;
        let image = Arc::clone(&options.image);
        let stack_size = STACK_SIZE.min(page_down(limits.memory / 4));
        let interpreter = options.interpreter.as_deref();
        for image in [Some(&*image), interpreter].into_iter().flatten() {
            load(&mut core, image).map_err(|error| match error {
                LoadFailure::Map(MapError::NoMemory { length }) => small("the program", length),
                LoadFailure::Map(MapError::WriteExecute) => EngineError::WriteExecute,
                LoadFailure::Map(_) => EngineError::ImagesOverlap,
                LoadFailure::Cut => EngineError::Elf(ElfError::Malformed(
                    "the file became shorter while it was read".into(),
                )),
            })?;
        }
        core.space.book.place_heap(image.end());
        let place = Placement::FixedFree(STACK_TOP - stack_size);
        core.space
            .map(place, stack_size, Protection::READ_WRITE, false)
            .map_err(|_| small("the stack", stack_size))?;
        let (phdr, phnum) = image.program_headers();
        let loaded = Loaded {
            start: interpreter.map_or(image.entry(), Image::entry),
            entry: image.entry(),
            phdr,
            phent: 56,
            phnum,
            base: image.bias(),
            interpreter: interpreter.map_or(0, Image::bias),
            stack_top: RANDOM,
            stack_size,
            host_page: SYSTEM_HOST_PAGE,
            random: RANDOM,
            vdso: options.vdso.map(|_| SYSTEM_VDSO),
        };
        let fresh = *core.vcpu.special();
        let mut booting = Self {
            core,
            image,
            memfd,
            loaded,
            limits,
            fresh,
            first_rsp: RANDOM,
        };
        booting.refresh()?;
        Ok(booting)
    }

    /// Gives the program clocks and randomness.
    fn refresh(&mut self) -> Result<(), EngineError> {
        let mut random = [0; RANDOM_SIZE];
        getrandom::fill(&mut random).map_err(|error| EngineError::System {
            operation: "getrandom",
            source: std::io::Error::other(error),
        })?;
        let broken = |_| EngineError::Internal("the stack is not mapped");
        let space = &mut self.core.space;
        space.write(RANDOM, &random).map_err(broken)?;
        space.book.random = Some(RANDOM);
        self.core.clock.refresh();
        self.core
            .clock
            .publish(&mut self.core.space.memory.host_page);
        Ok(())
    }

    /// Where the program's parts are.
    #[must_use]
    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// The program's file.
    #[must_use]
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Sets the registers of a fresh program.
    pub fn start(&mut self, rip: u64, rsp: u64) {
        self.core.abandon();
        *self.core.vcpu.special_mut() = self.fresh;
        self.first_rsp = rsp;
        let rflags = USER_RFLAGS;
        *self.core.vcpu.registers_mut() = Registers {
            rip,
            rsp,
            rflags,
            ..Registers::default()
        };
    }

    /// What stops this guest from another thread.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.core.timer.stopper()
    }

    /// Runs until the program asks for something, at most for `budget` of wall time.
    ///
    /// # Errors
    /// [`EngineError`] if KVM fails.
    pub fn run(&mut self, budget: Duration) -> Result<Exit, EngineError> {
        self.core.timer.arm(monotonic_now(), budget);
        let result = self.core.run();
        let fired = self.core.timer.disarm(&mut self.core.vcpu);
        match result {
            Ok(exit @ (Exit::Syscall | Exit::Hypercall { .. })) if !fired => Ok(exit),
            Ok(_) if fired => Ok(Exit::Deadline),
            other => other,
        }
    }

    /// Ends the initialisation: the state now, behind the wait call, is what every fork starts
    /// from.
    ///
    /// # Errors
    /// [`EngineError`] if KVM or the host's memory refuses.
    pub fn freeze(mut self) -> Result<Template, EngineError> {
        self.core.failure.tell()?;
        // A wait call that came as a system call stands in ring 0 on hardware.
        self.core.enter_user_mode();
        let registers = *self.core.vcpu.registers();
        let special = *self.core.vcpu.special();
        self.core.freeze_vectors()?;
        let (keeps_vectors, slice) = (self.core.vectors.keeps(), self.core.slice.length());
        let full = |_| EngineError::Internal("no room to map the reserve");
        let book = {
            let space = &mut self.core.space;
            system::map_vector_image(&mut space.editor(), Protection::READ)?;
            space.wipe();
            let most = ahead::most_pages(self.limits.request_memory / PAGE_SIZE);
            space.map_ahead(most).map_err(full)?;
            space.book.clone()
        };
        let constants = [registers.rax, registers.rcx, registers.rdx, registers.rip];
        for (place, value) in stubs::user().constants.into_iter().zip(constants) {
            let physical = MAIN_PHYSICAL + USER_STUBS + place;
            if let Some(bytes) = self.core.space.memory.physical_mut(physical, 8) {
                bytes.copy_from_slice(&value.to_le_bytes());
            }
        }
        let call_stack = self.clear_below_stack(registers.rsp)?;
        let Self {
            mut core,
            image,
            memfd,
            limits,
            ..
        } = self;
        let (engine, root) = (core.engine, core.space.memory.root);
        let files = core.files_in_use();
        collapse(&mut core.space.memory.main, &memfd);
        drop(core);
        let request_pages = limits.request_memory.div_ceil(PAGE_SIZE);
        let memory = FrozenMemory::seal(memfd, root, files, book, request_pages)?;
        Ok(Template {
            engine,
            image,
            memory: Arc::new(memory),
            registers,
            special,
            call_stack,
            keeps_vectors,
            slice,
        })
    }

    /// Zeroes what earlier calls left below the stack pointer and returns where the stacks of
    /// called functions may start.
    fn clear_below_stack(&mut self, rsp: u64) -> Result<u64, EngineError> {
        let bottom = STACK_TOP - self.loaded.stack_size;
        if !(bottom..=STACK_TOP).contains(&rsp) {
            // The program moved to a stack of its own: calls get the original one, below arguments
            // and environment.
            return Ok(self.first_rsp.clamp(bottom, STACK_TOP) & !15);
        }
        let top = rsp.saturating_sub(RED_ZONE).max(bottom) & !15;
        let zeros = [0; 4096];
        let mut at = page_down(top);
        let broken = |_| EngineError::Internal("the stack is not mapped");
        self.core
            .space
            .write(at, &zeros[..to_usize(top - at)])
            .map_err(broken)?;
        while at > bottom {
            at -= PAGE_SIZE;
            let mut page = [0; 4096];
            self.core.space.read(at, &mut page).map_err(broken)?;
            if page != zeros {
                self.core.space.write(at, &zeros).map_err(broken)?;
            }
        }
        Ok(top)
    }
}

/// Asks for large pages where a program filled most of one: forks then read contiguous memory,
/// which costs fewer translations. What is mostly empty stays empty.
fn collapse(main: &mut Mapping, memfd: &Memfd) {
    for place in well_filled(memfd.data(0), memfd.length()) {
        main.collapse(place, LARGE_PAGE);
    }
}

/// Why an image could not be loaded.
enum LoadFailure {
    Map(MapError),
    /// The file is shorter than it was.
    Cut,
}

/// Maps and fills the segments of an image.
fn load(core: &mut Core, image: &Image) -> Result<(), LoadFailure> {
    for segment in image.segments() {
        load_segment(core, image, segment)?;
    }
    Ok(())
}

fn load_segment(core: &mut Core, image: &Image, segment: &SegmentPlan) -> Result<(), LoadFailure> {
    let pages = segment.pages();
    let length = pages.end - pages.start;
    let space = &mut core.space;
    let place = Placement::FixedFree(pages.start);
    space
        .map(place, length, segment.allow, false)
        .map_err(LoadFailure::Map)?;
    let mut offset = segment.file.start;
    let mut complete = true;
    let size = segment.file.end - segment.file.start;
    let filled = space.for_each_piece_mut(segment.address, size, true, |piece| {
        complete &= image.read(offset, piece);
        offset += piece.len() as u64;
    });
    filled.map_err(|_| LoadFailure::Map(MapError::NoMemory { length }))?;
    if complete {
        Ok(())
    } else {
        Err(LoadFailure::Cut)
    }
}
