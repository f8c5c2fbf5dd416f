# bash completion for zcp
complete -W "send recv cat relay completion help" -o default zcp
