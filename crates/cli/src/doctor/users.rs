//! Users, groups, and what the rights of a file let them do.

/// Owner and mode of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rights {
    pub(super) owner: u32,
    pub(super) group: u32,
    pub(super) mode: u32,
}

impl Rights {
    /// True if that user may read and write the file (access control lists aside).
    pub(super) fn allow(self, user: u32, groups: &[u32]) -> bool {
        const BOTH: u32 = 6;
        let shift = if user == self.owner {
            6
        } else if groups.contains(&self.group) {
            3
        } else {
            0
        };
        user == 0 || self.mode >> shift & BOTH == BOTH
    }
}

/// A user with all groups.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) id: u32,
    pub(super) groups: Vec<u32>,
}

/// The user of that name, from the texts of passwd and group.
pub(super) fn user(name: &str, passwd: &str, group: &str) -> Option<User> {
    let fields: Vec<&str> = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&name))?;
    let mut groups = vec![fields.get(3)?.parse().ok()?];
    for line in group.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        if let [_, _, id, members] = fields[..]
            && members.split(',').any(|member| member == name)
            && let Ok(id) = id.parse()
        {
            groups.push(id);
        }
    }
    Some(User {
        name: name.to_owned(),
        id: fields.get(2)?.parse().ok()?,
        groups,
    })
}

/// The name of a group or user by its number, from the text of group or passwd.
pub(super) fn name_of(id: u32, text: &str) -> String {
    let id = id.to_string();
    text.lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.get(2) == Some(&id.as_str()))
        .and_then(|fields| fields.first().map(|&name| name.to_owned()))
        .unwrap_or(id)
}

/// The number of a group, from the text of group.
pub(super) fn group_named(name: &str, group: &str) -> Option<u32> {
    group.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next() == Some(name);
        fields.nth(1).filter(|_| found)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nvcache:x:101:102::/nonexistent:/bin/false\n";
    const GROUP: &str =
        "root:x:0:\nkvm:x:103:someone,vcache\nvarnish:x:102:\nother:x:104:vcache2\n";

    #[test]
    fn users_and_their_groups() {
        let expected = User {
            name: "vcache".to_owned(),
            id: 101,
            groups: vec![102, 103],
        };
        assert_eq!(user("vcache", PASSWD, GROUP), Some(expected));
        assert_eq!(user("vcach", PASSWD, GROUP), None);
        assert_eq!(name_of(103, GROUP), "kvm");
        assert_eq!(name_of(7, GROUP), "7");
    }

    #[test]
    fn who_may_open() {
        let rights = |owner, group, mode| Rights { owner, group, mode };
        let groups = [102, 103];
        assert!(!rights(0, 0, 0o600).allow(101, &groups));
        assert!(rights(0, 0, 0o600).allow(0, &[0]));
        assert!(rights(0, 103, 0o660).allow(101, &groups));
        assert!(!rights(0, 103, 0o640).allow(101, &groups));
        assert!(rights(0, 0, 0o666).allow(101, &groups));
        // The first class that fits decides.
        assert!(!rights(101, 103, 0o066).allow(101, &groups));
    }
}
