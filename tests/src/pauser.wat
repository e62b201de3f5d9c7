;; A policy that observes; it keeps vCPU 1 out of the guest first, and how its call ends stands where the
;; mark is. Types have names of one letter, which nobody reads.
(component
  (type $refusal' (enum "denied" "unsupported" "unavailable" "not-found" "invalid" "busy" "conflict"
    "limit" "gone"))
  (import "oriel:introspection/types@0.1.0" (instance $types (export "refusal" (type (eq $refusal')))))
  (alias export $types "refusal" (type $refusal))
  (import "oriel:introspection/control@0.1.0" (instance $control
    (alias outer 1 $refusal (type $no))
    (export "refusal" (type $refusal (eq $no)))
    (export "pause" (func (param "vcpu" u32) (result (result (error $refusal)))))))

  (core module $storage (memory (export "m") 1))
  (core instance $own (instantiate $storage))
  (core func $pause (canon lower (func $control "pause") (memory $own "m")))
  (core module $code
    (import "o" "m" (memory 1))
    (import "o" "p" (func $pause (param i32 i32)))
    (func (export "r") (param i32 i32 i32 i32) (result i32) (i32.const 512))
    (func (export "i") (param i32 i32 i32 i32) (result i32) (i32.const 16))
    (func (export "f") (result i32) (i32.const 16))
    (func (export "o") (param i32 i32 i32 i32 i32 i64 i64 i64 i64) (param i32 i64 i64 i64 i64)
      (call $pause (i32.const 1) (i32.const 256))
      ;; Refused: it would show nothing.
      (if (i32.load8_u (i32.const 256)) (then unreachable))
      (; the end ;)))
  (core instance $run (instantiate $code
    (with "o" (instance (export "m" (memory $own "m")) (export "p" (func $pause))))))

  (type $setting' (variant (case "flag" bool) (case "number" u64) (case "text" string)
    (case "numbers" (list u64)) (case "texts" (list string))))
  (export $setting "a" (type $setting'))
  (type $place' (variant (case "probe") (case "vcpu" u32) (case "vm") (case "tick")))
  (export $place "b" (type $place'))
  (func $init (param "config" (list (tuple string $setting))) (param "where" $place)
    (result (result (error string)))
    (canon lift (core func $run "i") (memory $own "m") (realloc (func $run "r"))))
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
  (type $kind' (enum "cr" "msr" "xsetbv" "breakpoint" "hypercall" "page" "trap" "descriptor"
    "create-vcpu" "pause" "singlestep" "cpuid" "unhook" "msr-read" "pio" "mmio" "reset" "shutdown"))
  (export $kind "h" (type $kind'))
  (type $filter' (record (field "kind" $kind) (field "one-in" u32) (field "per-second" u32)
    (field "scope" $scope)))
  (export $filter "i" (type $filter'))
  (func $filters (result (list $filter)) (canon lift (core func $run "f") (memory $own "m")))
  (func $observe (param "at" $moment) (param "kind" $kind) (param "a" u64) (param "b" u64)
    (param "c" u64) (param "d" u64) (canon lift (core func $run "o")))
  (instance $seen (export "filters" (func $filters)) (export "observe" (func $observe)))
  (export "oriel:introspection/observe@0.1.0" (instance $seen)))
