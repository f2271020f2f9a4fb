//! Local users and their groups, from /etc/passwd and /etc/group.

use super::{Item, item};
use serde_json::json;

pub fn local() -> Vec<Item> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    parse(&read("/etc/passwd"), &read("/etc/group"))
}

fn parse(passwd: &str, group: &str) -> Vec<Item> {
    // Name, id and members of each group.
    let groups: Vec<(&str, &str, Vec<&str>)> = group
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            Some((*fields.first()?, *fields.get(2)?, fields.get(3)?.split(',').collect()))
        })
        .collect();
    passwd
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let (name, uid, gid) = (fields.first()?, fields.get(2)?, fields.get(3)?);
            let own = groups.iter().filter(|(_, id, _)| id == gid);
            let further = groups.iter().filter(|(_, id, members)| id != gid && members.contains(name));
            let of_user: Vec<_> = own.chain(further).collect();
            let join = |part: fn(&(&str, &str, Vec<&str>)) -> String| {
                of_user.iter().map(|g| part(g)).collect::<Vec<_>>().join(";")
            };
            Some(item(json!({
                "UserId": uid,
                "UserName": name,
                "GroupIds": join(|g| g.1.to_owned()),
                "GroupNames": join(|g| g.0.to_owned()),
            })))
        })
        .collect()
}

/// The name of a user id, from /etc/passwd.
pub fn name_of(uid: u32) -> Option<String> {
    let uid = uid.to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut fields = passwd.lines().map(|l| l.split(':').collect::<Vec<_>>());
    fields.find(|f| f.get(2) == Some(&uid.as_str())).map(|f| f[0].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_with_their_groups() {
        let users = parse(
            "root:x:0:0:root:/root:/bin/bash\npump:x:1000:1000::/home/pump:/bin/sh\nbroken\n",
            "root:x:0:\npump:x:1000:\nsudo:x:27:pump,other\n",
        );
        assert_eq!(users.len(), 2);
        assert_eq!(users[1]["GroupIds"], "1000;27");
        assert_eq!(users[1]["GroupNames"], "pump;sudo");
    }
}
