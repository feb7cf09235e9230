//! Trying again what the kernel gives up for a passing reason.

/// Makes `attempt` up to `tries` times, as long as it fails with an error that is `passing`.
pub(crate) fn retry<T, E>(
    tries: u32,
    passing: impl Fn(&E) -> bool,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let mut result = attempt();
    for _ in 1..tries {
        match &result {
            Err(error) if passing(error) => result = attempt(),
            _ => break,
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result of up to 5 tries that end so one after the other, and how many there were.
    fn outcome(ends: &[Result<u8, i32>]) -> (Result<u8, i32>, usize) {
        let mut made = 0;
        let result = retry(
            5,
            |error| *error == libc::EINTR,
            || {
                made += 1;
                ends[made - 1]
            },
        );
        (result, made)
    }

    #[test]
    fn what_passes_is_tried_again_up_to_the_bound() {
        const AGAIN: Result<u8, i32> = Err(libc::EINTR);
        for failures in 0..5 {
            let ends = [vec![AGAIN; failures], vec![Ok(7)]].concat();
            assert_eq!(outcome(&ends), (Ok(7), failures + 1));
        }
        assert_eq!(outcome(&[AGAIN; 6]), (AGAIN, 5));
    }

    #[test]
    fn other_errors_are_told_at_once() {
        let other = Err(libc::ENOMEM);
        assert_eq!(outcome(&[other]), (other, 1));
        assert_eq!(outcome(&[Err(libc::EINTR), other]), (other, 2));
    }
}
