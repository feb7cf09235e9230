use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::rules::connect::{ConnectRules, Learnt, LearntAddresses, resolvers_in};

fn rules(list: &[&str]) -> ConnectRules {
    let mut rules = ConnectRules::default();
    for rule in list {
        rules.add(rule).unwrap();
    }
    rules
}

fn allows(rules: &ConnectRules, to: &str) -> bool {
    rules.allows(to.parse().unwrap(), &LearntAddresses::default())
}

/// With one answer of DNS.
fn allows_after(rules: &ConnectRules, name: &str, address: &str, to: &str) -> bool {
    let learnt = Learnt {
        name: name.to_string(),
        address: address.parse().unwrap(),
    };
    let mut all = LearntAddresses::default();
    all.insert(learnt);
    rules.allows(to.parse().unwrap(), &all)
}

#[test]
fn nothing_is_allowed_without_a_rule() {
    let none = ConnectRules::default();
    for to in ["192.0.2.1:80", "127.0.0.1:80", "[2001:db8::1]:443"] {
        assert!(!allows(&none, to));
    }
    assert!(!none.allows_unix(b"/run/x") && !none.allows_name("a.example") && none.is_empty());
}

#[test]
fn addresses_and_ports() {
    let rules = rules(&["192.0.2.7:443", "[2001:db8::1]:8000-8080", "198.51.100.1:*"]);
    for (to, may) in [
        ("192.0.2.7:443", true),
        ("192.0.2.7:444", false),
        ("192.0.2.8:443", false),
        ("[::ffff:192.0.2.7]:443", true),
        ("[::192.0.2.7]:443", false),
        ("[2001:db8::1]:8000", true),
        ("[2001:db8::1]:8080", true),
        ("[2001:db8::1]:8081", false),
        ("[2001:db8::2]:8000", false),
        ("198.51.100.1:1", true),
        ("198.51.100.1:0", false),
    ] {
        assert_eq!(allows(&rules, to), may, "{to}");
    }
}

#[test]
fn networks() {
    let rules = rules(&[
        "10.0.0.0/8:5432",
        "[fd00::/8]:*",
        "0.0.0.0/0:443",
        "[::/0]:443",
    ]);
    for (to, may) in [
        ("10.255.0.1:5432", true),
        ("11.0.0.1:5432", false),
        ("[fd12::1]:1", true),
        ("[fe12::1]:1", false),
        ("203.0.113.9:443", true),
        ("[2001:db8::1]:443", true),
        ("203.0.113.9:80", false),
    ] {
        assert_eq!(allows(&rules, to), may, "{to}");
    }
}

#[test]
fn local_addresses_must_be_named() {
    let wide = rules(&[
        "0.0.0.0/0:*",
        "[::/0]:*",
        "*.example.com:*",
        "a.example.com:*",
    ]);
    let local = [
        "127.0.0.1:80",
        "127.9.9.9:80",
        "0.0.0.0:80",
        "169.254.169.254:80",
        "224.0.0.1:80",
        "255.255.255.255:80",
        "[::1]:80",
        "[::]:80",
        "[fe80::1]:80",
        "[ff02::1]:80",
        "[::ffff:127.0.0.1]:80",
        "[::ffff:169.254.169.254]:80",
    ];
    for to in local {
        let address = to
            .parse::<SocketAddr>()
            .unwrap()
            .ip()
            .to_canonical()
            .to_string();
        assert!(!allows(&wide, to), "{to}");
        assert!(
            !allows_after(&wide, "a.example.com", &address, to),
            "{to} by DNS"
        );
    }
    let named = rules(&[
        "127.0.0.1:80",
        "169.254.0.0/16:80",
        "[fe80::/10]:80",
        "[::1]:80",
    ]);
    for to in [
        "127.0.0.1:80",
        "169.254.169.254:80",
        "[fe80::1]:80",
        "[::1]:80",
    ] {
        assert!(allows(&named, to), "{to}");
    }
    assert!(!allows(&named, "127.0.0.2:80") && !allows(&named, "127.0.0.1:81"));
    let by_name = rules(&["localhost:80"]);
    assert!(allows(&by_name, "127.0.0.1:80") && allows(&by_name, "[::1]:80"));
    for other in [
        "169.254.0.1:80",
        "127.0.0.1:81",
        "192.0.2.1:80",
        "[2001:db8::1]:80",
    ] {
        assert!(!allows(&by_name, other), "{other}");
    }
}

#[test]
fn names_stand_for_what_dns_said() {
    let rules = rules(&["Db.Example.com:5432", "*.api.example:443"]);
    let to = "203.0.113.9:5432";
    assert!(!allows(&rules, to));
    assert!(allows_after(&rules, "db.example.com", "203.0.113.9", to));
    assert!(allows_after(&rules, "DB.example.COM.", "203.0.113.9", to));
    assert!(!allows_after(&rules, "x.example.com", "203.0.113.9", to));
    assert!(!allows_after(&rules, "db.example.com", "203.0.113.8", to));
    assert!(!allows_after(
        &rules,
        "db.example.com",
        "203.0.113.9",
        "203.0.113.9:443"
    ));
    let to = "[2001:db8::5]:443";
    assert!(allows_after(&rules, "a.b.api.example", "2001:db8::5", to));
    for other in [
        "api.example",
        "notapi.example",
        ".api.example",
        "xapi.example",
    ] {
        assert!(!allows_after(&rules, other, "2001:db8::5", to), "{other}");
    }
}

#[test]
fn names_may_be_asked_for() {
    let some = rules(&["db.example.com:1", "*.api.example:1", "192.0.2.1:53"]);
    assert!(some.uses_dns());
    for (name, may) in [
        ("db.example.com", true),
        ("DB.example.com.", true),
        ("x.db.example.com", false),
        ("v1.api.example", true),
        ("secret.attacker.example", false),
    ] {
        assert_eq!(some.allows_name(name), may, "{name}");
    }
    assert!(rules(&["dns"]).allows_name("any.example"));
    assert!(!allows(&rules(&["dns"]), "192.0.2.1:53"));
    assert!(!rules(&["192.0.2.1:53"]).uses_dns());
}

#[test]
fn the_hosts_resolver_is_asked_beforehand() {
    let mut rules = rules(&["localhost:80", "*.localhost:80"]);
    rules.resolve();
    let hosts: Vec<_> = rules.hosts().collect();
    assert!(
        hosts.contains(&("localhost", IpAddr::V4(Ipv4Addr::LOCALHOST))),
        "{hosts:?}"
    );
    assert!(hosts.iter().all(|(name, _)| *name == "localhost"));
}

#[test]
fn socket_files_match_exactly() {
    let rules = rules(&["unix:/run/app.sock"]);
    assert!(rules.allows_unix(b"/run/app.sock"));
    for path in [
        &b"/run/app.sock/"[..],
        b"/run/app",
        b"run/app.sock",
        b"/run/./app.sock",
        b"",
    ] {
        assert!(!rules.allows_unix(path));
    }
}

#[test]
fn names_and_paths_up_to_their_ends() {
    // 253 bytes, in parts of at most 63.
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
    let path = |length: usize| format!("unix:/{}", "a".repeat(length - 1));
    for (rule, good) in [
        (format!("{longest}:1"), true),
        (format!("{longest}a:1"), false),
        (format!("{longest}.:1"), true),
        (format!("{label}:1"), true),
        (format!("{label}a:1"), false),
        ("my-host_1.example:1".to_owned(), true),
        ("1st.example:1".to_owned(), true),
        ("10.0.0.1.example:1".to_owned(), true),
        (path(107), true),
        (path(108), false),
    ] {
        let added = ConnectRules::default().add(&rule);
        assert_eq!(added.is_ok(), good, "{rule}");
    }
}

#[test]
fn bad_rules_are_errors() {
    for bad in [
        "",
        ":",
        "192.0.2.1",
        "192.0.2.1:",
        "192.0.2.1:0",
        "192.0.2.1:65536",
        "192.0.2.1:+5",
        "192.0.2.1:9-8",
        "192.0.2.1:*-9",
        "192.0.2:80",
        "192.0.2.1/33:80",
        "192.0.2.1/8:80",
        "192.0.2.0/:80",
        "10.0.0.0/8/8:80",
        "::1:80",
        "[::1]",
        "[::1]80",
        "[::1:80",
        "[::1%eth0]:80",
        "[192.0.2.1]:80",
        "[::ffff:192.0.2.1]:80",
        "[::1/129]:80",
        "*:443",
        "*.:443",
        "a..b:1",
        "a b:1",
        "*.*.a:1",
        "a.*:1",
        "unix:run",
        "unix:/",
        "unix:/a/../b",
        "unix:/a//b",
        "unix:",
        "http://a:80",
        "\u{e9}.example:80",
        "[]:1",
    ] {
        let mut rules = ConnectRules::default();
        let error = rules.add(bad).unwrap_err();
        assert_eq!(error.rule, bad);
        assert!(rules.is_empty(), "{bad}");
    }
}

#[test]
fn resolvers_come_from_the_hosts_file() {
    let text = "# nameserver 192.0.2.9\nnameserver 192.0.2.1\nnameserver\t2001:db8::1 # one\n\
                nameserverx 192.0.2.8\nsearch example\nnameserver bad\n";
    let found = resolvers_in(text)
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>();
    assert_eq!(found, ["192.0.2.1:53", "[2001:db8::1]:53"]);
    assert_eq!(resolvers_in("")[0].to_string(), "127.0.0.1:53");
    let mut rules = rules(&["192.0.2.7:443"]);
    rules.set_resolvers(resolvers_in(text));
    assert!(rules.resolvers().is_empty(), "no name can be asked for");
    rules.add("a.example:443").unwrap();
    assert_eq!(rules.resolvers().len(), 2);
    assert!(rules.is_resolver("[::ffff:192.0.2.1]:53".parse().unwrap()));
    assert!(!rules.is_resolver("192.0.2.1:54".parse().unwrap()));
}

#[test]
fn an_audit_allows_every_place() {
    let mut all = ConnectRules::default();
    assert!(!allows(&all, "192.0.2.1:80") && !all.allows_unix(b"/run/s"));
    assert!(!all.is_audit());
    all.audit();
    assert!(all.is_audit());
    assert!(!all.is_empty() && all.uses_dns() && all.allows_name("example.com"));
    assert!(allows(&all, "192.0.2.1:80") && allows(&all, "[2001:db8::1]:1"));
    assert!(all.allows_unix(b"/run/s"));
    // It is known what the rules say by themselves.
    all.add("192.0.2.1:80").unwrap();
    let none = LearntAddresses::default();
    assert!(all.names("192.0.2.1:80".parse().unwrap(), &none));
    assert!(!all.names("192.0.2.1:81".parse().unwrap(), &none) && !all.names_unix(b"/run/s"));
}
