//! Robust futexes: a lock whose owner ends is marked, so that the next one knows.

use crate::call::context::Context;
use crate::call::failure::{Answer, Failure};
use crate::calls::futex::lock;
use crate::wire::errno::{EINVAL, ESRCH};
use crate::wire::record::u64_at;

/// Size of `struct robust_list_head` in linux/futex.h.
const HEAD: u64 = 24;
/// `ROBUST_LIST_LIMIT`: a longer list, or one that runs in circles, is cut.
const LONGEST: usize = 2048;
/// Entries between looks at the clock.
const PIECE: usize = 256;

/// `set_robust_list(head, length)`
pub(crate) fn set_robust_list(context: &mut Context<'_>) -> Answer {
    if context.word(1) != HEAD {
        return Err(EINVAL.into());
    }
    let head = context.word(0);
    if context.thread().robust_list != head {
        context.thread_mut().robust_list = head;
    }
    Ok(0)
}

/// `get_robust_list(tid, head, length)`
pub(crate) fn get_robust_list(context: &mut Context<'_>) -> Answer {
    let id = context.int(0).cast_unsigned();
    let threads = &context.state().threads;
    let thread = if id == 0 {
        Some(&threads.current)
    } else {
        threads.find(id)
    };
    let head = thread.ok_or(ESRCH)?.robust_list;
    context.write(context.word(2), &HEAD.to_le_bytes())?;
    context.write(context.word(1), &head.to_le_bytes())?;
    Ok(0)
}

/// Marks the locks that the current thread has and leaves behind. A list that cannot be read ends
/// where it cannot.
pub(crate) fn leave(context: &mut Context<'_>) -> Result<(), Failure> {
    let head = context.thread().robust_list;
    if head == 0 {
        return Ok(());
    }
    let Ok(record) = context.read::<24>(head) else {
        return Ok(());
    };
    let [mut entry, offset, pending] = [0, 8, 16].map(|at| u64_at(&record, at));
    for count in 0..LONGEST {
        let place = entry & !1;
        if place == head {
            break;
        }
        if count % PIECE == PIECE - 1 {
            context.checkpoint()?;
        }
        // Read before the entry is given away.
        let next = context.read::<8>(place);
        if place != pending & !1 {
            lock::owner_died(context, place.wrapping_add(offset), entry & 1 != 0, false);
        }
        let Ok(next) = next else { break };
        entry = u64::from_le_bytes(next);
    }
    if pending & !1 != 0 {
        let place = (pending & !1).wrapping_add(offset);
        lock::owner_died(context, place, pending & 1 != 0, true);
    }
    Ok(())
}
