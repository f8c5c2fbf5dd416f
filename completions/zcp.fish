# fish completion for zcp
complete -c zcp -n __fish_use_subcommand -a 'send recv cat relay completion help'
