//! Any calls at all.

use proptest::prelude::*;

use super::super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Any calls at all, with any arguments, by two clients that come and go: nothing panics, nobody is left waiting.
    #[test]
    fn any_calls_leave_a_sound_store(
        steps in prop::collection::vec(
            (0..14_usize, 0..80_u8, prop::collection::vec(crate::ipc::manager::data::any_datum(), 0..3), 0..12_u8), 1..60)
    ) {
        let mut stage = Stage::new();
        let mut clients = [stage.client(), stage.client()];
        let mut objects: Vec<ObjectRef> = Vec::new();
        for kind in Kind::ALL {
            let arguments = match kind {
                Kind::Barrier => args("[2]"),
                Kind::Value | Kind::Array => args(r#"["i", 3]"#),
                Kind::Queue | Kind::JoinableQueue => args("[1]"),
                _ => vec![],
            };
            objects.push(stage.make(clients[0], kind, arguments));
        }
        for object in &objects {
            stage.give(clients[0], clients[1], object);
        }
        for (object, method, mut arguments, how) in steps {
            let Ok(method) = postcard::from_bytes::<Method>(&[method]) else { continue };
            for argument in &mut arguments {
                // References that are there, so that objects come to hold each other.
                let _ = argument.each_reference::<()>(&mut |reference| {
                    *reference = objects[reference.id().0 as usize % objects.len()].clone();
                    Ok(())
                });
            }
            let patience = if how % 2 == 0 { Patience::Forever } else { Patience::Nanos(u64::from(how)) };
            let client = clients[usize::from(how) % 2];
            let before = format!("{:?}", stage.store.objects);
            let answer = stage.call_for(client, &objects[object], method, arguments.clone(), patience);
            if let Some(Err(refused)) = answer {
                let after = format!("{:?}", stage.store.objects);
                prop_assert_eq!(before, after, "{} {:?} {:?}", method, arguments, refused);
            }
            stage.after(1);
            if how == 11 {
                stage.leave(clients[1]);
                clients[1] = stage.client();
                for object in &objects {
                    stage.give(clients[0], clients[1], object);
                }
            }
        }
        for client in clients {
            stage.leave(client);
        }
        // The test's own references are counted ones too.
        drop(objects);
        stage.leave(clients[0]);
        let newcomer = stage.client();
        stage.leave(newcomer);
        prop_assert_eq!(stage.store.census(), Census::default());
    }
}
