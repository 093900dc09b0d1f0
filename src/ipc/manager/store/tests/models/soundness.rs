//! Any calls at all.

use proptest::prelude::*;

use super::super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Any calls at all, with any arguments, by two clients that connect and leave: no panic, and no client waits
    /// forever.
    #[test]
    fn any_calls_leave_a_sound_store(
        steps in prop::collection::vec(
            (0..14_usize, 0..80_u8, prop::collection::vec(crate::ipc::manager::data::any_datum(), 0..3), 0..12_u8), 1..60)
    ) {
        let mut fixture = Fixture::new();
        let mut clients = [fixture.client(), fixture.client()];
        let mut objects: Vec<ObjectRef> = Vec::new();
        for kind in Kind::ALL {
            let arguments = match kind {
                Kind::Barrier => args("[2]"),
                Kind::Value | Kind::Array => args(r#"["i", 3]"#),
                Kind::Queue | Kind::JoinableQueue => args("[1]"),
                _ => vec![],
            };
            objects.push(fixture.make(clients[0], kind, arguments));
        }
        for object in &objects {
            fixture.give(clients[0], clients[1], object);
        }
        for (object, method, mut arguments, how) in steps {
            let Ok(method) = postcard::from_bytes::<Method>(&[method]) else { continue };
            for argument in &mut arguments {
                // Existing references, so that objects come to refer to each other.
                argument.each_reference(&mut |reference| {
                    *reference = objects[reference.id().0 as usize % objects.len()].clone();
                });
            }
            let timeout = if how % 2 == 0 { None } else { Some(Duration::from_nanos(u64::from(how))) };
            let client = clients[usize::from(how) % 2];
            let before = format!("{:?}", fixture.store.objects);
            let answer = fixture.call_for(client, &objects[object], method, arguments.clone(), timeout);
            if let Some(Err(refused)) = answer {
                let after = format!("{:?}", fixture.store.objects);
                prop_assert_eq!(before, after, "{} {:?} {:?}", method, arguments, refused);
            }
            fixture.after(1);
            if how == 11 {
                fixture.leave(clients[1]);
                clients[1] = fixture.client();
                for object in &objects {
                    fixture.give(clients[0], clients[1], object);
                }
            }
        }
        for client in clients {
            fixture.leave(client);
        }
        // The test's own references count too.
        drop(objects);
        fixture.leave(clients[0]);
        let newcomer = fixture.client();
        fixture.leave(newcomer);
        let Status { clients, objects, names, waiting, .. } = fixture.store.status();
        prop_assert_eq!([clients, objects, names, waiting], [0; 4]);
    }
}
