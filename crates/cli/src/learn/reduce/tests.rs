use super::*;

const READ: Use = Use {
    write: false,
    opened: true,
    created: false,
    random: false,
};
const WRITE: Use = Use {
    write: true,
    opened: true,
    created: false,
    random: false,
};
const LOOK: Use = Use {
    write: false,
    opened: false,
    created: false,
    random: false,
};

fn reduced(used: &[(&str, Use)]) -> Rules {
    let used = used.iter().map(|(path, how)| ((*path).to_owned(), *how));
    reduce(&used.collect(), &BTreeSet::new(), "/home/me/deep", "prog")
}

fn file(path: &str, writable: bool) -> PathRule {
    PathRule {
        path: path.to_owned(),
        extent: Extent::File,
        writable,
        instead: None,
    }
}

fn tree(path: &str, writable: bool) -> PathRule {
    PathRule {
        extent: Extent::Tree,
        ..file(path, writable)
    }
}

#[test]
fn few_files_stay_files() {
    let rules = reduced(&[("/n/a/1", READ), ("/n/a/2", WRITE), ("/n/b", READ)]);
    assert!(!rules.libraries);
    let wanted = [
        file("/n/a/1", false),
        file("/n/a/2", true),
        file("/n/b", false),
    ];
    assert_eq!(rules.paths, wanted);
}

#[test]
fn many_become_the_deepest_tree() {
    let names: Vec<_> = (0..9).map(|number| format!("/n/a/b/{number}")).collect();
    let mut used: Vec<_> = names.iter().map(|name| (name.as_str(), READ)).collect();
    assert_eq!(reduced(&used).paths, [tree("/n/a/b", false)]);
    used.push(("/n/a/b/w", WRITE));
    let wanted = [tree("/n/a/b", false), file("/n/a/b/w", true)];
    assert_eq!(reduced(&used).paths, wanted);
    used.remove(0);
    assert_eq!(reduced(&used).paths.len(), 9);
}

#[test]
fn wide_directories_and_the_users_own_never() {
    for directory in ["/n", "/home/me", "/home/me/deep"] {
        let names: Vec<_> = (0..20)
            .map(|number| format!("{directory}/{number}"))
            .collect();
        let used: Vec<_> = names.iter().map(|name| (name.as_str(), READ)).collect();
        assert_eq!(reduced(&used).paths.len(), 20, "{directory}");
    }
}

#[test]
fn libraries_are_one_word_unless_they_are_changed() {
    let rules = reduced(&[("/usr/lib/n/libn.so", READ), ("/lib/n/w", WRITE)]);
    assert!(rules.libraries);
    assert_eq!(rules.paths, [file("/lib/n/w", true)]);
}

#[test]
fn directories_on_the_way_need_no_rule() {
    let rules = reduced(&[("/", LOOK), ("/n", LOOK), ("/n/f", READ), ("/nf", LOOK)]);
    assert_eq!(rules.paths, [file("/n/f", false), file("/nf", false)]);
}

#[test]
fn what_came_and_went_needs_its_directory() {
    let gone = Use {
        created: true,
        ..WRITE
    };
    let rules = reduced(&[("/n/tmp/x1", gone), ("/n/tmp/f", READ), ("/n/lock", WRITE)]);
    assert_eq!(rules.paths, [file("/n/lock", true), tree("/n/tmp", true)]);
}

#[test]
fn sockets_that_are_not_there_need_no_rule() {
    let places = ["192.0.2.1:80", "unix:/dev/null", "unix:/nowhere/socket"];
    let places = places.map(str::to_owned).into_iter().collect();
    let rules = reduce(&BTreeMap::new(), &places, "", "prog");
    assert_eq!(rules.connect, ["192.0.2.1:80", "unix:/dev/null"]);
}

#[test]
fn random_names_need_their_directory_but_never_a_shared_or_wide_one() {
    let random = Use {
        created: true,
        random: true,
        ..WRITE
    };
    let rules = reduced(&[
        ("/n/cache/x1", random),
        ("/tmp/x2", random),
        ("/n/x3", random),
    ]);
    let own = PathRule::own_temporary("/tmp", "prog");
    assert_eq!(own.instead.as_deref(), Some("/var/lib/tinykvm/prog/tmp"));
    let mut wanted = [tree("/n/cache", true), own];
    wanted.sort();
    assert_eq!(rules.paths, wanted);
    assert_eq!(rules.unnamed, ["/n"]);
    for shared in SHARED {
        let many: Vec<_> = (0..20).map(|number| format!("{shared}/{number}")).collect();
        let many: Vec<_> = many.iter().map(|path| (path.as_str(), READ)).collect();
        assert_eq!(reduced(&many).paths.len(), 20, "{shared}");
    }
}

#[test]
fn what_links_in_a_tree_lead_to_has_a_rule_of_its_own() {
    let base = std::env::temp_dir().join(format!("tinykvm-reduce-{}", std::process::id()));
    let links = base.join("links");
    std::fs::create_dir_all(&links).unwrap();
    let base = base.canonicalize().unwrap();
    let links = base.join("links");
    let target = base.join("target");
    std::fs::write(&target, "").unwrap();
    std::os::unix::fs::symlink(&target, links.join("link")).unwrap();
    let names: Vec<_> = (0..9)
        .map(|number| links.join(number.to_string()))
        .collect();
    let names = names
        .iter()
        .chain(std::iter::once(&links))
        .map(|path| path.to_str().unwrap());
    let link = links.join("link");
    let mut used: Vec<_> = names
        .filter(|path| !path.ends_with("links"))
        .map(|path| (path, READ))
        .collect();
    used.push((link.to_str().unwrap(), READ));
    let wanted = [
        tree(links.to_str().unwrap(), false),
        file(target.to_str().unwrap(), false),
    ];
    assert_eq!(reduced(&used).paths, wanted);
    std::fs::remove_dir_all(&base).unwrap();
}
