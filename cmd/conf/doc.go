// Package conf reads zcp's command line and environment.
//
// [Parse] turns argv into the config of one command, or into a *exit.Usage that says in
// the user's words what does not make sense. The argv rewriter, the parser, the
// environment and the help all follow one table of options. Nothing is opened here.
package conf
