;; About the smallest policy that there can be: it judges resets, and lets them happen. Types have
;; names of one letter, which nobody reads.
(component
  (core module $code
    (memory (export "m") 1)
    (func (export "r") (param i32 i32 i32 i32) (result i32) (i32.const 64))
    (func (export "i") (param i32 i32 i32 i32) (result i32) (i32.const 16))
    (func (export "f") (result i32) (i32.const 16))
    (func (export "j") (param i32 i32 i32 i32 i32 i64 i64 i64 i64) (result i32) (i32.const 0)))
  (core instance $own (instantiate $code))

  (type $setting' (variant (case "flag" bool) (case "number" u64) (case "text" string)
    (case "numbers" (list u64)) (case "texts" (list string))))
  (export $setting "a" (type $setting'))
  (type $place' (variant (case "probe") (case "vcpu" u32) (case "vm") (case "tick")))
  (export $place "b" (type $place'))
  (func $init (param "config" (list (tuple string $setting))) (param "where" $place)
    (result (result (error string)))
    (canon lift (core func $own "i") (memory $own "m") (realloc (func $own "r"))))
  (instance $lifecycle (export "init" (func $init)))
  (export "oriel:introspection/lifecycle@0.1.0" (instance $lifecycle))

  (type $decision' (enum "continue" "retry" "crash" "replace" "deny" "skip" "inject" "emulate"
    "step" "keep"))
  (export $decision "c" (type $decision'))
  (type $verdicts' (flags "continue" "retry" "crash" "replace" "deny" "skip" "inject" "emulate"
    "step"))
  (export $verdicts "d" (type $verdicts'))
  (type $moment' (record (field "vcpu" u32) (field "cpl" u8) (field "retired" bool)
    (field "decided" $decision) (field "allowed" $verdicts) (field "seq" u64) (field "ip" u64)
    (field "cr3" u64) (field "time-ns" u64)))
  (export $moment "e" (type $moment'))
  (type $rings' (flags "ring0" "ring1" "ring2" "ring3"))
  (export $rings "f" (type $rings'))
  (type $scope' (record (field "cr3" (option u64)) (field "rings" $rings)))
  (export $scope "g" (type $scope'))
  (type $filter' (record (field "scope" $scope)))
  (export $filter "h" (type $filter'))
  (type $verdict' (variant (case "continue") (case "crash")))
  (export $verdict "i" (type $verdict'))
  (func $filters (result (list $filter)) (canon lift (core func $own "f") (memory $own "m")))
  (func $judge (param "at" $moment) (result $verdict) (canon lift (core func $own "j")))
  (instance $resets (export "filters" (func $filters)) (export "judge" (func $judge)))
  (export "oriel:introspection/judge-reset@0.1.0" (instance $resets)))
