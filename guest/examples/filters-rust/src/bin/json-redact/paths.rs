//! Which values of a document are meant.

/// Paths, as they are configured.
#[derive(Debug)]
pub(crate) struct Paths(Vec<Vec<Step>>);

#[derive(Debug)]
enum Step {
    Name(String),
    /// `*`
    Any,
    /// `**`
    Deep,
}

/// A path that leads on from where one is in the document, and which of its steps is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rest {
    path: usize,
    step: usize,
}

impl Paths {
    pub(crate) fn parse(text: &str) -> Self {
        let step = |step: &str| match step {
            "*" => Step::Any,
            "**" => Step::Deep,
            name => Step::Name(name.to_string()),
        };
        let paths = text
            .split(',')
            .map(str::trim)
            .filter(|path| !path.is_empty());
        Self(
            paths
                .map(|path| path.split('.').map(step).collect())
                .collect(),
        )
    }

    /// What leads on from the top of a document.
    pub(crate) fn top(&self) -> Vec<Rest> {
        let rest = |path| Rest { path, step: 0 };
        (0..self.0.len()).map(rest).collect()
    }

    /// What leads on from the member of this name; nothing if that is what is meant.
    pub(crate) fn below(&self, rests: &[Rest], name: &str) -> Option<Vec<Rest>> {
        let mut below = Vec::new();
        for &rest in rests {
            self.follow(rest, name, &mut below);
        }
        let meant = below.iter().any(|rest| self.is_end(*rest));
        (!meant).then_some(below)
    }

    fn follow(&self, rest: Rest, name: &str, below: &mut Vec<Rest>) {
        let next = Rest {
            step: rest.step + 1,
            ..rest
        };
        let mut add = |rest| {
            if !below.contains(&rest) {
                below.push(rest);
            }
        };
        match self.0[rest.path].get(rest.step) {
            Some(Step::Name(wanted)) if wanted == name => add(next),
            Some(Step::Any) => add(next),
            Some(Step::Deep) => {
                add(rest);
                self.follow(next, name, below);
            }
            Some(Step::Name(_)) | None => {}
        }
    }

    /// `a.**` is `a` with all that is in it, and that is `a`.
    fn is_end(&self, rest: Rest) -> bool {
        let steps = &self.0[rest.path][rest.step..];
        steps.iter().all(|step| matches!(step, Step::Deep))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(paths: &str, name: &str, expected: bool) {
        let paths = Paths::parse(paths);
        let mut rests = paths.top();
        let mut meant = false;
        for name in name.split('.') {
            match paths.below(&rests, name) {
                Some(below) => rests = below,
                None => meant = true,
            }
        }
        assert_eq!(meant, expected, "{paths:?} {name}");
    }

    #[test]
    fn names_and_stars() {
        check("a, b.c", "a", true);
        check("a, b.c", "b", false);
        check("a, b.c", "b.c", true);
        check("a, b.c", "c", false);
        check("", "a", false);
        check("*.a", "a", false);
        check("*.a", "x.a", true);
        check("*.a", "x.y.a", false);
        check("*", "x", true);
    }

    #[test]
    fn any_depth() {
        check("**.a", "a", true);
        check("**.a", "x.y.a", true);
        check("**.a", "x.y.b", false);
        check("x.**.a", "x.a", true);
        check("x.**.a", "x.y.z.a", true);
        check("x.**.a", "y.x.a", false);
        check("**.x.**.a", "1.x.2.a", true);
        check("a.**", "a", true);
        check("**", "a", true);
    }
}
