#!/bin/sh
# The public API by hand, against a cluster with the demo functions and actors (demo.add, demo.sleep, demo.Counter):
#
#     ADDRESS=localhost:7171 tests/cluster/grpcurl.sh
#
# GRPCURL names the binary (grpcurl 1.8.6 or later), TOKEN the bearer token where one is set; DRAIN=yes tells a worker to
# leave at the end. Each call is printed as it
# would be typed, with its answer; the script stops at the first answer that is not as it should be.
set -eu

GRPCURL=${GRPCURL:-grpcurl}
ADDRESS=${ADDRESS:-localhost:7171}
answer=

# ask ARGUMENTS: runs grpcurl, prints its answer and keeps it.
ask() {
    answer=$("$GRPCURL" -plaintext ${TOKEN:+-H "authorization: Bearer $TOKEN"} "$@" 2>&1) || true
    printf '%s\n' "$answer"
}

# call SERVICE/METHOD [JSON]
call() {
    printf "\n$ grpcurl -plaintext %s%s %s\n" "${2:+-d '$2' }" "$ADDRESS" "$1"
    ask ${2:+-d "$2"} "$ADDRESS" "$1"
}

# tell COMMAND...: list or describe.
tell() {
    printf '\n$ grpcurl -plaintext %s %s\n' "$ADDRESS" "$*"
    ask "$ADDRESS" "$@"
}

# says TEXT: the answer holds it.
says() {
    case $answer in
    *"$1"*) ;;
    *)
        printf '\nFAILED: the answer should say: %s\n' "$1" >&2
        exit 1
        ;;
    esac
}

# field NAME: the first value of that name in the answer.
field() {
    printf '%s\n' "$answer" | sed -n "s/.*\"$1\": \"\{0,1\}\([^\",]*\).*/\1/p" | head -n 1
}

# ending ID: what people copy.
ending() {
    printf '%s' "$1" | tail -c 8
}

task=farloop.v1.TaskService

tell list
says $task
tell describe $task.SubmitTask
says 'asyncio.ensure_future'

call grpc.health.v1.Health/Check
says SERVING
call farloop.v1.ClusterService/ListWorkers
says demo.add
call farloop.v1.ClusterService/ListFunctions '{"pageSize":3}'
says '"signature": "(a: i64, b: i64)'
says resultSchema
call farloop.v1.ClusterService/GetServerInfo
says MAX_PAYLOAD

call $task/SubmitTask '{"function":"demo.add","jsonArgs":[2,3],"labels":{"team":"core"}}'
sum=$(field taskId)
call $task/WaitTask "{\"taskId\":\"$(ending "$sum")\"}"
says '"json": 5'
call $task/GetTask "{\"taskId\":\"$sum\"}"
says TASK_STATE_SUCCEEDED

# The result of one task as an argument of another: the value never comes here.
call $task/SubmitTask "{\"function\":\"demo.add\",\"args\":[{\"taskId\":\"$sum\"},{\"payload\":{\"json\":10}}]}"
call $task/WaitTask "{\"taskId\":\"$(field taskId)\"}"
says '"json": 15'

call $task/SubmitTask '{"function":"demo.sleep","jsonArgs":[60]}'
sleeper=$(field taskId)
call $task/WaitTask "{\"taskId\":\"$sleeper\",\"timeout\":\"0.2s\"}"
says '"done": false'
call $task/ExplainTask "{\"taskId\":\"$sleeper\"}"
says reasons
call $task/CancelTask "{\"taskId\":\"$sleeper\",\"message\":\"enough\"}"
says '"cancelRequested": true'
call $task/WaitTask "{\"taskId\":\"$sleeper\"}"
says TASK_STATE_CANCELLED

call $task/Wait "{\"taskIds\":[\"$(ending "$sum")\",\"$sleeper\"],\"returnWhen\":\"RETURN_WHEN_ALL_COMPLETED\"}"
says '"done"'
call $task/SubmitTask '{"function":"demo.sleep","jsonArgs":[3],"displayName":"later"}'
later=$(field taskId)
call $task/Wait "{\"taskIds\":[\"$sum\",\"$later\"],\"returnWhen\":\"RETURN_WHEN_FIRST_COMPLETED\"}"
says '"pending"'
# A stream: each as it is over. grpcurl prints one answer after the other.
call $task/AsCompleted "{\"taskIds\":[\"$later\",\"$(ending "$sum")\"]}"
case $answer in
*"$sum"*"$later"*) ;;
*)
    printf '\nFAILED: what is over already comes first\n' >&2
    exit 1
    ;;
esac
call $task/AsCompleted "{\"taskIds\":[\"$sleeper\"],\"timeout\":\"0s\"}"
says TASK_STATE_CANCELLED

# A stream without an end: a second of it is enough.
ask -max-time 1 -d '{"filter":"function=demo.add"}' "$ADDRESS" $task/WatchTasks
says '"snapshotEnd": true'
says "$sum"

call $task/Gather '{"calls":[{"function":"demo.add","jsonArgs":[2,3]},{"function":"demo.sleep","jsonArgs":[0.2]}]}'
says '"done": true'
call $task/ListTasks '{"filter":"state=SUCCEEDED AND labels.team=core","pageSize":1}'
says "$sum"

# Options: what few calls need.
call $task/SubmitTask '{"function":"demo.add","jsonArgs":[2,3],"timeout":"60s","maxAttempts":3,"maxCrashes":0,
  "backoff":{"initialInterval":"0.1s","coefficient":2,"maximumInterval":"1s","jitter":0.5},
  "scheduleToStartTimeout":"30s","startToCloseTimeout":"20s","heartbeatTimeout":"10s","cancelGrace":"5s","priority":1,
  "limit":{"key":"printer","atOnce":2},"fairnessKey":"tenant","durability":"DURABILITY_BUFFERED","retention":{"for":"60s"}}'
call $task/WaitTask "{\"taskId\":\"$(field taskId)\"}"
says '"json": 5'
call $task/SubmitTask '{"function":"demo.add","jsonArgs":[2,3],"backoff":{"coefficient":0.5}}'
says backoff.initialInterval
call $task/SubmitTask '{"function":"demo.add","jsonArgs":[2,3],"limit":{"key":"printer"}}'
says limit.atOnce

# A request by its name: once more is the same task, another call under the name is refused.
name="order $$"
call $task/SubmitTask "{\"function\":\"demo.add\",\"jsonArgs\":[20,3],\"requestId\":\"$name\",\"retention\":{\"pinned\":true}}"
says '"pinned": true'
order=$(field taskId)
call $task/SubmitTask "{\"function\":\"demo.add\",\"jsonArgs\":[20,3],\"requestId\":\"$name\",\"retention\":{\"pinned\":true}}"
says "$order"
call $task/SubmitTask "{\"function\":\"demo.add\",\"jsonArgs\":[20,4],\"requestId\":\"$name\"}"
says TASK_ALREADY_EXISTS
call $task/WaitTask "{\"taskId\":\"$order\"}"
says '"json": 23'
# Released, it is forgotten; what is forgotten is released.
call $task/ReleaseTask "{\"taskId\":\"$order\"}"
call $task/GetTask "{\"taskId\":\"$order\"}"
says TASK_EXPIRED
call $task/WaitTask "{\"taskId\":\"$order\"}"
says TASK_EXPIRED
call $task/ReleaseTask "{\"taskId\":\"$order\"}"
says '{' # some versions break the line in between

# Actors: made, called, told, watched, stopped.
actor=farloop.v1.ActorService
page="page $$"
call $actor/ListActorTypes
says '"type": "demo.Counter"'
says '"signature": "(by: i64)'
says TURNS_SHARED
call $actor/SpawnActor "{\"type\":\"demo.Counter\",\"jsonArgs\":[1],\"name\":\"$page\"}"
says '"up": true'
counter=$(field actorId)
call $actor/SpawnActor "{\"type\":\"demo.Counter\",\"jsonArgs\":[1],\"name\":\"$page\"}"
says ACTOR_ALREADY_EXISTS
call $actor/SpawnActor "{\"type\":\"demo.Counter\",\"jsonArgs\":[9],\"name\":\"$page\",\"getOrSpawn\":true}"
says "$counter"
call $actor/CallActor "{\"type\":\"demo.Counter\",\"name\":\"$page\",\"method\":\"add\",\"jsonArgs\":[2]}"
says '"json": 3'
call $actor/TellActor "{\"actorId\":\"$counter\",\"method\":\"add\",\"jsonArgs\":[4],\"requestId\":\"$page\"}"
call $actor/TellActor "{\"actorId\":\"$counter\",\"method\":\"add\",\"jsonArgs\":[4],\"requestId\":\"$page\"}"
call $actor/CallActor "{\"actorId\":\"$(ending "$counter")\",\"method\":\"get\"}"
says '"json": 7'
call $actor/CallActor "{\"actorId\":\"$counter\",\"method\":\"after\",\"jsonArgs\":[0.5],\"timeout\":\"0.1s\"}"
says '"done": false'
call $task/WaitTask "{\"taskId\":\"$(field taskId)\"}"
says '"json": 7'
call $actor/GetActor "{\"type\":\"demo.Counter\",\"name\":\"$page\"}"
says ACTOR_STATE_UP
says '"mailboxDepth": 0'
# A panic ends an incarnation, not the actor.
call $actor/CallActor "{\"actorId\":\"$counter\",\"method\":\"panics\",\"jsonArgs\":[\"enough\"]}"
says FAILURE_KIND_PANICKED
call $actor/CallActor "{\"actorId\":\"$counter\",\"method\":\"get\"}"
says '"json": 1'
ask -max-time 1 -d "{\"actorId\":\"$counter\"}" "$ADDRESS" $actor/WatchActor
says '"incarnation": 2'
call $actor/ListActors '{"filter":"type=demo.Counter"}'
says "$counter"
# One on demand is made by the first call of its name.
call $actor/CallActor "{\"type\":\"demo.Page\",\"name\":\"$page\",\"method\":\"visit\"}"
says "visit 1 of $page"
call $actor/StopActor "{\"type\":\"demo.Page\",\"name\":\"$page\",\"kill\":true,\"message\":\"enough\"}"
says ACTOR_STATE_KILLED
call $actor/StopActor "{\"actorId\":\"$counter\"}"
says '"stopped": true'
says ACTOR_STATE_STOPPED
call $actor/CallActor "{\"actorId\":\"$counter\",\"method\":\"get\"}"
says ACTOR_DIED
call $actor/SpawnActor '{"type":"demo.Countr","jsonArgs":[1]}'
says "did you mean 'demo.Counter'?"
call $actor/SpawnActor '{"type":"demo.Counter","jsonArgs":["one"]}'
says FAILURE_KIND_BAD_ARGUMENTS
call $actor/CallActor '{"type":"demo.Page","name":"x","method":"visits"}'
says METHOD_NOT_FOUND
says 'it has: visit'
call $actor/CallActor '{"type":"demo.Page","name":"x","method":"visit","jsonArgs":[1]}'
says 'takes 0 arguments'
call $task/SubmitTask '{"function":"demo.Counter","jsonArgs":[1]}'
says 'SpawnActor makes one'

# What is wrong is said in words, with a reason for programs.
call $task/GetTask '{"taskId":"0700c321"}'
says TASK_NOT_FOUND
call $task/ListTasks '{"filter":"status=DONE"}'
says 'is no key'
call $task/SubmitTask '{"function":"demo.ad","jsonArgs":[2,3]}'
says FUNCTION_NOT_FOUND
says "did you mean 'demo.add'?"
call $task/Wait
says 'name at least one task'
call $task/WaitTask "{\"taskId\":\"$sum\",\"timeout\":\"-1s\"}"
says 'no length of time'
call $task/SubmitTask '{"function":"demo.add","jsonArgs":["two",3]}'
call $task/WaitTask "{\"taskId\":\"$(field taskId)\"}"
says FAILURE_KIND_BAD_ARGUMENTS
call $task/SubmitTask '{"function":"demo.add","jsonArgs":[2]}'
call $task/WaitTask "{\"taskId\":\"$(field taskId)\"}"
says FAILURE_KIND_BAD_ARGUMENTS

call farloop.v1.ClusterService/DrainWorker '{"workerId":"ffffffff"}'
says WORKER_NOT_FOUND
call farloop.v1.ClusterService/ReportWorkerExit '{"workerId":"ffffffff","signal":9}'
says '"workerCount": 0'
call farloop.v1.ClusterService/ReportWorkerExit '{"workerId":"ffffffff"}'
says 'how the process ended'
if [ "${DRAIN:-no}" = yes ]; then
    # It finishes what it runs, and ends.
    call farloop.v1.ClusterService/ListWorkers
    worker=$(field workerId)
    call farloop.v1.ClusterService/DrainWorker "{\"workerId\":\"$(ending "$worker")\"}"
    says '"draining": true'
fi

printf '\nall answers are as they should be\n'
