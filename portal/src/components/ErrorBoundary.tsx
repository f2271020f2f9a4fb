/** A page that breaks is told to be broken, and leaves all others as they are. */

import { Component, type ReactNode } from "react";
import { Failure } from "./states";

interface ErrorBoundaryProps {
  /** The page's address: another one is tried anew. */
  place: string;
  children: ReactNode;
}

interface ErrorBoundaryState {
  error: unknown;
  place: string;
}

export class ErrorBoundary extends Component<ErrorBoundaryProps, ErrorBoundaryState> {
  override state: ErrorBoundaryState = { error: undefined, place: this.props.place };

  static getDerivedStateFromError(error: unknown) {
    return { error };
  }

  static getDerivedStateFromProps({ place }: ErrorBoundaryProps, state: ErrorBoundaryState) {
    return place === state.place ? null : { error: undefined, place };
  }

  override render() {
    if (this.state.error === undefined) return this.props.children;
    return <Failure error={this.state.error} retry={() => this.setState({ error: undefined })} />;
  }
}
