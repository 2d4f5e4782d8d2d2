%% What Erlang takes for what docs/actors.md measures of farloop: two nodes on loopback.
%%
%%   cd benches/erlang && erlc figures.erl
%%   erl -noinput -sname other -setcookie x -kernel inet_dist_use_interface '{127,0,0,1}' &
%%   erl -noinput -sname me -setcookie x -kernel inet_dist_use_interface '{127,0,0,1}' -eval 'figures:main().'
-module(figures).
-behaviour(gen_server).
-export([main/0, init/1, handle_call/3, handle_cast/2, node_loop/1, caller/3]).

init(_) -> {ok, nothing}.
handle_call(noop, _, State) -> {reply, ok, State}.
handle_cast(_, State) -> {noreply, State}.

%% One of a ring: sends the token on and waits for nobody.
node_loop(Next) ->
    receive
        {link, Other} -> node_loop(Other);
        {pass, 0, Who} -> Who ! done, node_loop(Next);
        {pass, Hops, Who} -> Next ! {pass, Hops - 1, Who}, node_loop(Next)
    end.

caller(Server, Calls, Who) ->
    [gen_server:call(Server, noop) || _ <- lists:seq(1, Calls)],
    Who ! done.

micros() -> erlang:monotonic_time(nanosecond) / 1000.

latency(Server) ->
    Once = fun(_) -> Began = micros(), gen_server:call(Server, noop), micros() - Began end,
    lists:nth(10000, lists:sort(lists:map(Once, lists:seq(1, 20000)))).

rate(Server, Callers, Calls) ->
    Began = micros(),
    [spawn(?MODULE, caller, [Server, Calls, self()]) || _ <- lists:seq(1, Callers)],
    [receive done -> ok end || _ <- lists:seq(1, Callers)],
    round(Callers * Calls / (micros() - Began) * 1.0e6).

ring(Nodes, Laps) ->
    Size = 1000,
    At = fun(N) -> lists:nth(1 + N rem length(Nodes), Nodes) end,
    [First | Rest] = Ring = [spawn(At(N), ?MODULE, node_loop, [none]) || N <- lists:seq(1, Size)],
    [Pid ! {link, Next} || {Pid, Next} <- lists:zip(Ring, Rest ++ [First])],
    Go = fun(Hops) -> First ! {pass, Hops, self()}, receive done -> ok end end,
    Go(2000),
    Began = micros(),
    Go(Size * Laps),
    (micros() - Began) / (Size * Laps).

spawned(Count) ->
    Began = micros(),
    Pids = [spawn(?MODULE, node_loop, [none]) || _ <- lists:seq(1, Count)],
    Took = micros() - Began,
    [exit(Pid, kill) || Pid <- Pids],
    round(Count / Took * 1.0e6).

five(What, Measure) -> io:format("~s: ~p~n", [What, [Measure() || _ <- lists:seq(1, 5)]]).

main() ->
    [_, Host] = string:tokens(atom_to_list(node()), "@"),
    Other = list_to_atom("other@" ++ Host),
    pong = net_adm:ping(Other),
    {ok, Server} = rpc:call(Other, gen_server, start, [?MODULE, [], []]),
    latency(Server),
    five("call of the other node, p50, us", fun() -> latency(Server) end),
    five("calls/s, 256 callers", fun() -> rate(Server, 256, 400) end),
    five("calls/s, 1,000 callers", fun() -> rate(Server, 1000, 100) end),
    five("ring of 1,000 in one node, us a hop", fun() -> ring([node()], 1000) end),
    five("ring of 1,000 over two nodes, us a hop", fun() -> ring([node(), Other], 50) end),
    five("spawned per second, in one node", fun() -> spawned(200000) end),
    rpc:cast(Other, erlang, halt, []),
    halt().
